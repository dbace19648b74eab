"""The inspection daemon: sources, detector thread, rules, store, MQTT and the page."""
