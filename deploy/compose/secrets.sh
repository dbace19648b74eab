#!/usr/bin/env bash
# Passwords, a token and a CA of its own for compose.yaml, in deploy/compose/secrets; what is there stays.
# Needs openssl and mosquitto_passwd (package mosquitto).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
umask 077
[ ! -e secrets ] || { echo "secrets/ is there already and stays as it is"; exit 0; }
made="$(mktemp -d ./secrets.XXXXXX)"
trap 'rm -rf "$made"' EXIT
mkdir "$made/broker"
word() { openssl rand -hex 24; }

openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj "/CN=fbclip compose CA" \
    -keyout "$made/ca.key" -out "$made/ca.crt" 2>/dev/null
openssl req -newkey rsa:3072 -nodes -subj "/CN=broker" -keyout "$made/broker/server.key" -out "$made/server.csr" 2>/dev/null
printf 'subjectAltName=DNS:broker,DNS:localhost,DNS:%s\n' "$(hostname)" > "$made/names"
openssl x509 -req -in "$made/server.csr" -CA "$made/ca.crt" -CAkey "$made/ca.key" -CAcreateserial -days 825 \
    -extfile "$made/names" -out "$made/broker/server.crt" 2>/dev/null
rm "$made/server.csr" "$made/names"

touch "$made/broker/passwords"
for account in press-1 reader operator; do
    password="$(word)"
    # By file and not as an argument, which every account of the machine could see.
    printf '%s:%s\n' "$account" "$password" >> "$made/broker/passwords"
    printf '%s=%s\n' "$account" "$password" >> "$made/accounts"
done
mosquitto_passwd -U "$made/broker/passwords"
# Prometheus may look, and no more.
view="$(word)"
printf '%s' "$view" > "$made/view-token"
printf 'AGENT_TOKEN=%s\nAGENT_VIEW_TOKEN=%s\nMQTT_PASSWORD=%s\n' "$(word)" "$view" "$(sed -n 's/^press-1=//p' "$made/accounts")" > "$made/agent.env"
printf 'GF_SECURITY_ADMIN_PASSWORD=%s\n' "$(word)" > "$made/grafana.env"

# The containers' own accounts read these, and no other of this machine can enter the folder.
chmod 755 "$made/broker"
chmod 644 "$made/broker/"* "$made/view-token" "$made/ca.crt"
mkdir -p inbox/new
chmod 777 inbox inbox/new
mv "$made" secrets
trap - EXIT
echo "secrets/: accounts of the broker in secrets/accounts, the page's tokens in secrets/agent.env"
