BEGIN TRANSACTION;
CREATE TABLE events (
	id INTEGER NOT NULL, 
	event_id VARCHAR(64) NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	line VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	opened DATETIME NOT NULL, 
	updated DATETIME NOT NULL, 
	ended DATETIME, 
	end_reason VARCHAR(32), 
	inspection_id INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (event_id), 
	FOREIGN KEY(inspection_id) REFERENCES inspections (id) ON DELETE SET NULL
);
INSERT INTO "events" VALUES(1,'e-1','run-1','belt','anomaly','2026-01-02 03:04:05.000000','2026-01-02 03:04:05.000000','2026-01-02 03:04:05.000000','unit',1);
CREATE TABLE feedback (
	id INTEGER NOT NULL, 
	inspection_id INTEGER NOT NULL, 
	ts DATETIME NOT NULL, 
	label VARCHAR(16) NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(inspection_id) REFERENCES inspections (id) ON DELETE CASCADE
);
CREATE TABLE files (
	id INTEGER NOT NULL, 
	line VARCHAR(64) NOT NULL, 
	path TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	mtime_ns BIGINT NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	reason TEXT, 
	disposition VARCHAR(16), 
	added DATETIME NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "files" VALUES(1,'belt','a.png',1,1,'ab','done',NULL,'finished','2026-01-02 03:04:05.000000');
CREATE TABLE inspections (
	id INTEGER NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	line VARCHAR(64) NOT NULL, 
	frame_seq BIGINT NOT NULL, 
	ts DATETIME NOT NULL, 
	mode VARCHAR(16) NOT NULL, 
	path TEXT, 
	frame_number BIGINT, 
	file_id INTEGER, 
	sha256 VARCHAR(64), 
	width INTEGER, 
	height INTEGER, 
	verdict VARCHAR(16) NOT NULL, 
	reason TEXT, 
	margin FLOAT, 
	score FLOAT, 
	threshold FLOAT, 
	z FLOAT, 
	regions JSON NOT NULL, 
	profile_id VARCHAR(128), 
	model_id VARCHAR(128), 
	queue_ms FLOAT NOT NULL, 
	infer_ms FLOAT NOT NULL, 
	total_ms FLOAT NOT NULL, 
	discrete BOOLEAN NOT NULL, 
	image_ref TEXT, 
	overlay_ref TEXT, 
	context JSON, 
	PRIMARY KEY (id), 
	UNIQUE (run, line, frame_seq), 
	FOREIGN KEY(file_id) REFERENCES files (id) ON DELETE SET NULL
);
INSERT INTO "inspections" VALUES(1,'run-1','belt',1,'2026-01-02 03:04:05.000000','live',NULL,NULL,1,NULL,NULL,NULL,'anomaly',NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,1.0,2.0,3.0,1,NULL,NULL,NULL);
CREATE TABLE meta (
	"key" VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','1');
INSERT INTO "meta" VALUES('stream_id','stream-1');
CREATE TABLE outbox (
	id INTEGER NOT NULL, 
	message_id VARCHAR(64) NOT NULL, 
	line VARCHAR(64) NOT NULL, 
	message_seq BIGINT NOT NULL, 
	topic TEXT NOT NULL, 
	body JSON NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	committed DATETIME NOT NULL, 
	attempts INTEGER NOT NULL, 
	sent DATETIME, 
	PRIMARY KEY (id), 
	UNIQUE (line, message_seq), 
	UNIQUE (message_id)
);
INSERT INTO "outbox" VALUES(1,'m-1','belt',1,'t/belt/event','{"schema": "fbclip.event/1"}','run-1','2026-01-02 03:04:05.000000',0,'2026-01-02 03:04:05.000000');
INSERT INTO "outbox" VALUES(2,'m-2','belt',2,'t/belt/event','{"schema": "fbclip.event/1"}','run-1','2026-01-02 03:04:05.000000',0,NULL);
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	run VARCHAR(64) NOT NULL, 
	agent VARCHAR(64) NOT NULL, 
	started DATETIME NOT NULL, 
	ended DATETIME, 
	clean BOOLEAN NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (run)
);
INSERT INTO "runs" VALUES(1,'run-1','demo','2026-01-02 03:04:05.000000','2026-01-02 03:04:05.000000',1);
CREATE TABLE sequences (
	line VARCHAR(64) NOT NULL, 
	last BIGINT NOT NULL, 
	PRIMARY KEY (line)
);
INSERT INTO "sequences" VALUES('belt',2);
CREATE INDEX ix_files_identity ON files (line, path, size, mtime_ns);
CREATE INDEX ix_files_state ON files (line, state);
CREATE INDEX ix_files_disposition ON files (disposition);
CREATE INDEX ix_outbox_sent ON outbox (sent, id);
CREATE INDEX ix_inspections_line ON inspections (line, id);
CREATE INDEX ix_inspections_file ON inspections (file_id);
CREATE INDEX ix_inspections_ts ON inspections (ts);
CREATE INDEX ix_events_line ON events (line, id);
CREATE INDEX ix_events_ended ON events (ended);
CREATE INDEX ix_events_inspection ON events (inspection_id);
CREATE INDEX ix_feedback_inspection ON feedback (inspection_id);
COMMIT;
