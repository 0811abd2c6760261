BEGIN TRANSACTION;
CREATE TABLE holdout_uses (
	id INTEGER NOT NULL,
	at VARCHAR(40) NOT NULL,
	model VARCHAR(200) NOT NULL,
	holdout_hash VARCHAR(64) NOT NULL,
	run_key VARCHAR(200) NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (model, holdout_hash, run_key)
);
INSERT INTO "holdout_uses" VALUES(1,'2026-11-22T08:28:44.938641+00:00','clipcast-tiktok-performance','h','weekly/1');
CREATE TABLE intents (
	model VARCHAR(200) NOT NULL,
	version INTEGER NOT NULL,
	at VARCHAR(40) NOT NULL,
	PRIMARY KEY (model, version)
);
INSERT INTO "intents" VALUES('clipcast-tiktok-performance',3,'2026-11-22T08:28:44.967240+00:00');
CREATE TABLE ledger (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	at VARCHAR(40) NOT NULL,
	logical_date VARCHAR(40),
	who VARCHAR(200) NOT NULL,
	model VARCHAR(200) NOT NULL,
	kind VARCHAR(20) NOT NULL,
	from_version INTEGER,
	to_version INTEGER,
	version INTEGER,
	semver VARCHAR(40),
	bundle_sha256 VARCHAR(64),
	challenger BOOLEAN NOT NULL,
	reason TEXT NOT NULL,
	evidence TEXT NOT NULL,
	evidence_sha256 VARCHAR(64) NOT NULL,
	metrics TEXT NOT NULL,
	data_source TEXT NOT NULL,
	run_key VARCHAR(200),
	UNIQUE (run_key, model, kind)
);
INSERT INTO "ledger" VALUES(1,'2026-11-22T08:28:44.864421+00:00','2026-03-02','tester','clipcast-tiktok-performance','promoted',NULL,1,1,'1.0.0','1111111111111111111111111111111111111111111111111111111111111111',0,'the first','{"gain":0.02}','240192440f752be5ec9713f6ddadbe1fbadf65b4a7d0fd0f2f80036a0cdcfc70','{"r2":0.7}','simulated posts','weekly/1');
INSERT INTO "ledger" VALUES(2,'2026-11-22T08:28:44.909498+00:00',NULL,'tester','clipcast-tiktok-performance','kept',1,1,2,'1.1.0','1111111111111111111111111111111111111111111111111111111111111111',1,'kept: it''s no better','{}','44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a','{}','simulated posts',NULL);
CREATE TABLE runs (
	run_key VARCHAR(200) NOT NULL,
	status VARCHAR(20) NOT NULL,
	owner_host VARCHAR(200) NOT NULL,
	owner_pid INTEGER NOT NULL,
	owner_born VARCHAR(200) NOT NULL,
	started_at VARCHAR(40) NOT NULL,
	seen_at VARCHAR(40) NOT NULL,
	finished_at VARCHAR(40),
	attempts INTEGER NOT NULL,
	result TEXT,
	PRIMARY KEY (run_key)
);
INSERT INTO "runs" VALUES('weekly/1','done','elsewhere',7,'boot:1','2026-11-22T08:28:44.993459+00:00','2026-11-22T08:28:44.993459+00:00','2026-11-22T08:28:45.014026+00:00',1,'{"version":1}');
CREATE TABLE schema_version (
	version INTEGER NOT NULL,
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
CREATE INDEX ledger_of_model ON ledger (model, id);
CREATE TRIGGER ledger_keeps_UPDATE BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger is append-only'); END;
CREATE TRIGGER ledger_keeps_DELETE BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'ledger is append-only'); END;
CREATE TRIGGER holdout_uses_keeps_UPDATE BEFORE UPDATE ON holdout_uses
BEGIN SELECT RAISE(ABORT, 'holdout_uses is append-only'); END;
CREATE TRIGGER holdout_uses_keeps_DELETE BEFORE DELETE ON holdout_uses
BEGIN SELECT RAISE(ABORT, 'holdout_uses is append-only'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('ledger',2);
COMMIT;
