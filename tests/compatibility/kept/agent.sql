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
INSERT INTO "events" VALUES(1,'fa00be40-85e7-4556-beac-90bd66639423','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','masked','anomaly','2026-11-28 03:10:41.034131','2026-11-28 03:10:41.034131','2026-11-28 03:10:41.034131','unit',2);
INSERT INTO "events" VALUES(2,'db73bf7e-1b5f-4fdb-9f17-15f3b7b802db','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','tiles','anomaly','2026-11-28 03:10:41.043636','2026-11-28 03:10:41.043636','2026-11-28 03:10:41.043636','unit',3);
INSERT INTO "events" VALUES(3,'781fb782-eeb5-470b-95ba-af1e4dd35607','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','tiles','no_verdict','2026-11-28 03:10:41.052738','2026-11-28 03:10:41.052738','2026-11-28 03:10:41.052738','unit',4);
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
INSERT INTO "files" VALUES(1,'tiles','/srv/station/var/tiles/normal.png',17466,1795835429157717115,'3b577519e6c058f0a512310ddda2d140883e19c22b01714b86b585cafabd80c2','done',NULL,'finished','2026-11-28 03:10:41.024047');
INSERT INTO "files" VALUES(2,'masked','/srv/station/var/masked/anomalous.png',20474,1795835429159169087,'66c9e624a4eff794c78ea8f7bd6d8157477aaa0615f686ce3d291f0756c7cad6','done',NULL,'finished','2026-11-28 03:10:41.027085');
INSERT INTO "files" VALUES(3,'tiles','/srv/station/var/tiles/anomalous.png',20474,1795835429157756076,'66c9e624a4eff794c78ea8f7bd6d8157477aaa0615f686ce3d291f0756c7cad6','done',NULL,'finished','2026-11-28 03:10:41.037228');
INSERT INTO "files" VALUES(4,'tiles','/srv/station/var/tiles/text.png',11,1795835429159169087,'5bcddf5a5ab967a1bcd34c88dec6340df70e8decf17c5243225754f74af7e9bc','failed','not_an_image','finished','2026-11-28 03:10:41.050244');
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
INSERT INTO "inspections" VALUES(1,'2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','tiles',1,'2026-11-28 03:10:41.030946','live','/srv/station/var/tiles/normal.png',NULL,1,'3b577519e6c058f0a512310ddda2d140883e19c22b01714b86b585cafabd80c2',256,256,'ok',NULL,-4.33001451950139282232e-01,3.93409848213195800781e-01,1.14372658729553222656e+00,-4.83830422163009643554e-02,'[]','db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7','b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12',1.02265800001077877823e+00,1.67431658999930732534e+02,1.68454316999941511312e+02,1,'pictures/tiles/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-1.jpg','pictures/tiles/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-1-overlay.jpg','null');
INSERT INTO "inspections" VALUES(2,'2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','masked',1,'2026-11-28 03:10:41.034131','shadow','/srv/station/var/masked/anomalous.png',NULL,2,'66c9e624a4eff794c78ea8f7bd6d8157477aaa0615f686ce3d291f0756c7cad6',256,256,'anomaly',NULL,8.60818445682525634765e-01,7.02831625938415527343e-01,1.5,2.91513037681579589843e+00,'[{"box": [105, 55, 178, 211], "area_px": 5846, "margin_max": 0.8453391790390015}]','1ce99b34857cd17a26884e0e35c7a98eb0c48ab5675eed42182392d0961cf4f5','b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12',1.65858982000145260826e+02,403.56636599995,5.69425348000095254974e+02,1,'pictures/masked/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-1.jpg','pictures/masked/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-1-overlay.jpg','null');
INSERT INTO "inspections" VALUES(3,'2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','tiles',2,'2026-11-28 03:10:41.043636','live','/srv/station/var/tiles/anomalous.png',NULL,3,'66c9e624a4eff794c78ea8f7bd6d8157477aaa0615f686ce3d291f0756c7cad6',256,256,'anomaly',NULL,2.28411569155586491319e+01,1.0,1.14372658729553222656e+00,2.63018550872802734383e+01,'[{"box": [108, 64, 189, 212], "area_px": 7997, "margin_max": 13.03077220916748}]','db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7','b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12',1.56354210000017701531e+02,4.14639299999862487311e+02,5.70993509999880188843e+02,1,'pictures/tiles/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-2.jpg','pictures/tiles/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-2-overlay.jpg','null');
INSERT INTO "inspections" VALUES(4,'2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','tiles',3,'2026-11-28 03:10:41.052738','live','/srv/station/var/tiles/text.png',NULL,4,'5bcddf5a5ab967a1bcd34c88dec6340df70e8decf17c5243225754f74af7e9bc',NULL,NULL,'rejected','not_an_image',NULL,NULL,1.14372658729553222656e+00,NULL,'[]','db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7','b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12',1.47252601999980470282e+02,4.15051946999938081717e+02,5.62304548999918551999e+02,1,NULL,NULL,'null');
CREATE TABLE meta (
	"key" VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','1');
INSERT INTO "meta" VALUES('stream_id','e4a356e2-7be0-452d-a144-3731e7c29945');
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
INSERT INTO "outbox" VALUES(1,'14ff1c41-1c99-4a7d-9b7b-b9ad19536a54','tiles',1,'plant/hall-2/station-4/tiles/result','{"schema": "fbclip.result/1", "message_id": "14ff1c41-1c99-4a7d-9b7b-b9ad19536a54", "stream_id": "e4a356e2-7be0-452d-a144-3731e7c29945", "message_seq": 1, "agent": "station-4", "line": "tiles", "ts_capture": "2026-11-28T03:10:41.030Z", "verdict": "ok", "reason": null, "margin": -0.4330014519501393, "score": 0.3934098482131958, "threshold": 1.1437265872955322, "z": -0.048383042216300964, "regions": [], "image": {"width": 256, "height": 256, "sha256": "3b577519e6c058f0a512310ddda2d140883e19c22b01714b86b585cafabd80c2", "ref": "pictures/tiles/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-1.jpg"}, "model": {"id": "b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12"}, "profile": {"id": "db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7"}, "latency_ms": {"queue": 1.0226580000107788, "infer": 167.43165899993073, "total": 168.4543169999415}, "context": null}','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','2026-11-28 03:10:41.232554',0,'2026-11-28 03:10:41.456512');
INSERT INTO "outbox" VALUES(2,'7b276d4f-b150-4a58-bb6c-68ca8aaf1f49','tiles',2,'plant/hall-2/station-4/tiles/event','{"schema": "fbclip.event/1", "message_id": "7b276d4f-b150-4a58-bb6c-68ca8aaf1f49", "stream_id": "e4a356e2-7be0-452d-a144-3731e7c29945", "message_seq": 2, "event_id": "db73bf7e-1b5f-4fdb-9f17-15f3b7b802db", "kind": "anomaly", "type": "new", "end_reason": null, "agent": "station-4", "line": "tiles", "ts_capture": "2026-11-28T03:10:41.043Z", "verdict": "anomaly", "reason": null, "margin": 22.84115691555865, "score": 1.0, "threshold": 1.1437265872955322, "z": 26.301855087280273, "regions": [{"box": [108, 64, 189, 212], "area_px": 7997, "margin_max": 13.03077220916748}], "image": {"width": 256, "height": 256, "sha256": "66c9e624a4eff794c78ea8f7bd6d8157477aaa0615f686ce3d291f0756c7cad6", "ref": "pictures/tiles/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-2.jpg"}, "model": {"id": "b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12"}, "profile": {"id": "db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7"}, "latency_ms": {"queue": 156.3542100000177, "infer": 414.6392999998625, "total": 570.9935099998802}, "context": null}','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','2026-11-28 03:10:41.640457',0,'2026-11-28 03:10:41.654682');
INSERT INTO "outbox" VALUES(3,'22b1a7b5-1a4f-468b-b118-b4d17d7a1e0e','tiles',3,'plant/hall-2/station-4/tiles/event','{"schema": "fbclip.event/1", "message_id": "22b1a7b5-1a4f-468b-b118-b4d17d7a1e0e", "stream_id": "e4a356e2-7be0-452d-a144-3731e7c29945", "message_seq": 3, "event_id": "db73bf7e-1b5f-4fdb-9f17-15f3b7b802db", "kind": "anomaly", "type": "end", "end_reason": "unit", "agent": "station-4", "line": "tiles", "ts_capture": "2026-11-28T03:10:41.043Z", "verdict": "anomaly", "reason": null, "margin": 22.84115691555865, "score": 1.0, "threshold": 1.1437265872955322, "z": 26.301855087280273, "regions": [{"box": [108, 64, 189, 212], "area_px": 7997, "margin_max": 13.03077220916748}], "image": {"width": 256, "height": 256, "sha256": "66c9e624a4eff794c78ea8f7bd6d8157477aaa0615f686ce3d291f0756c7cad6", "ref": "pictures/tiles/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-2.jpg"}, "model": {"id": "b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12"}, "profile": {"id": "db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7"}, "latency_ms": {"queue": 156.3542100000177, "infer": 414.6392999998625, "total": 570.9935099998802}, "context": null}','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','2026-11-28 03:10:41.641621',0,'2026-11-28 03:10:41.654682');
INSERT INTO "outbox" VALUES(4,'71ec2598-743c-4726-b215-32e33650bcbe','tiles',4,'plant/hall-2/station-4/tiles/result','{"schema": "fbclip.result/1", "message_id": "71ec2598-743c-4726-b215-32e33650bcbe", "stream_id": "e4a356e2-7be0-452d-a144-3731e7c29945", "message_seq": 4, "agent": "station-4", "line": "tiles", "ts_capture": "2026-11-28T03:10:41.043Z", "verdict": "anomaly", "reason": null, "margin": 22.84115691555865, "score": 1.0, "threshold": 1.1437265872955322, "z": 26.301855087280273, "regions": [{"box": [108, 64, 189, 212], "area_px": 7997, "margin_max": 13.03077220916748}], "image": {"width": 256, "height": 256, "sha256": "66c9e624a4eff794c78ea8f7bd6d8157477aaa0615f686ce3d291f0756c7cad6", "ref": "pictures/tiles/2026-11-28/2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84-2.jpg"}, "model": {"id": "b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12"}, "profile": {"id": "db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7"}, "latency_ms": {"queue": 156.3542100000177, "infer": 414.6392999998625, "total": 570.9935099998802}, "context": null}','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','2026-11-28 03:10:41.642676',0,'2026-11-28 03:10:41.654682');
INSERT INTO "outbox" VALUES(5,'2048e5aa-cbe0-439b-b7eb-fb6b562103ce','tiles',5,'plant/hall-2/station-4/tiles/event','{"schema": "fbclip.event/1", "message_id": "2048e5aa-cbe0-439b-b7eb-fb6b562103ce", "stream_id": "e4a356e2-7be0-452d-a144-3731e7c29945", "message_seq": 5, "event_id": "781fb782-eeb5-470b-95ba-af1e4dd35607", "kind": "no_verdict", "type": "new", "end_reason": null, "agent": "station-4", "line": "tiles", "ts_capture": "2026-11-28T03:10:41.052Z", "verdict": "rejected", "reason": "not_an_image", "margin": null, "score": null, "threshold": 1.1437265872955322, "z": null, "regions": [], "image": {"width": null, "height": null, "sha256": "5bcddf5a5ab967a1bcd34c88dec6340df70e8decf17c5243225754f74af7e9bc", "ref": null}, "model": {"id": "b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12"}, "profile": {"id": "db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7"}, "latency_ms": {"queue": 147.25260199998047, "infer": 415.0519469999381, "total": 562.3045489999186}, "context": null}','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','2026-11-28 03:10:41.651633',0,'2026-11-28 03:10:41.859872');
INSERT INTO "outbox" VALUES(6,'b77d9fb7-cf82-479f-9d9c-b7e66cd737eb','tiles',6,'plant/hall-2/station-4/tiles/event','{"schema": "fbclip.event/1", "message_id": "b77d9fb7-cf82-479f-9d9c-b7e66cd737eb", "stream_id": "e4a356e2-7be0-452d-a144-3731e7c29945", "message_seq": 6, "event_id": "781fb782-eeb5-470b-95ba-af1e4dd35607", "kind": "no_verdict", "type": "end", "end_reason": "unit", "agent": "station-4", "line": "tiles", "ts_capture": "2026-11-28T03:10:41.052Z", "verdict": "rejected", "reason": "not_an_image", "margin": null, "score": null, "threshold": 1.1437265872955322, "z": null, "regions": [], "image": {"width": null, "height": null, "sha256": "5bcddf5a5ab967a1bcd34c88dec6340df70e8decf17c5243225754f74af7e9bc", "ref": null}, "model": {"id": "b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12"}, "profile": {"id": "db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7"}, "latency_ms": {"queue": 147.25260199998047, "infer": 415.0519469999381, "total": 562.3045489999186}, "context": null}','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','2026-11-28 03:10:41.652189',0,'2026-11-28 03:10:41.859872');
INSERT INTO "outbox" VALUES(7,'af821fa0-f2d6-4187-950a-b372082f661f','tiles',7,'plant/hall-2/station-4/tiles/result','{"schema": "fbclip.result/1", "message_id": "af821fa0-f2d6-4187-950a-b372082f661f", "stream_id": "e4a356e2-7be0-452d-a144-3731e7c29945", "message_seq": 7, "agent": "station-4", "line": "tiles", "ts_capture": "2026-11-28T03:10:41.052Z", "verdict": "rejected", "reason": "not_an_image", "margin": null, "score": null, "threshold": 1.1437265872955322, "z": null, "regions": [], "image": {"width": null, "height": null, "sha256": "5bcddf5a5ab967a1bcd34c88dec6340df70e8decf17c5243225754f74af7e9bc", "ref": null}, "model": {"id": "b842580a154cf2cd3179aef809d1c193d40e02d2b1bc4efe7c3140814cd63b12"}, "profile": {"id": "db40f3a102854f25dfd9165c834ba509360e16f167bd393820f6bc94ce789bd7"}, "latency_ms": {"queue": 147.25260199998047, "infer": 415.0519469999381, "total": 562.3045489999186}, "context": null}','2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','2026-11-28 03:10:41.652710',0,'2026-11-28 03:10:41.859872');
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
INSERT INTO "runs" VALUES(1,'2c71a7cc-3abc-4ba9-ac6c-6e9300f50b84','station-4','2026-11-28 03:10:40.767591','2026-11-28 03:10:45.531387',1);
CREATE TABLE sequences (
	line VARCHAR(64) NOT NULL, 
	last BIGINT NOT NULL, 
	PRIMARY KEY (line)
);
INSERT INTO "sequences" VALUES('tiles',7);
CREATE INDEX ix_files_state ON files (line, state);
CREATE INDEX ix_files_identity ON files (line, path, size, mtime_ns);
CREATE INDEX ix_files_disposition ON files (disposition);
CREATE INDEX ix_outbox_sent ON outbox (sent, id);
CREATE INDEX ix_inspections_ts ON inspections (ts);
CREATE INDEX ix_inspections_file ON inspections (file_id);
CREATE INDEX ix_inspections_line ON inspections (line, id);
CREATE INDEX ix_events_line ON events (line, id);
CREATE INDEX ix_events_ended ON events (ended);
CREATE INDEX ix_events_inspection ON events (inspection_id);
CREATE INDEX ix_feedback_inspection ON feedback (inspection_id);
COMMIT;
