CREATE FUNCTION clipcast_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
CREATE TABLE holdout_uses (
    id integer NOT NULL,
    at character varying(40) NOT NULL,
    model character varying(200) NOT NULL,
    holdout_hash character varying(64) NOT NULL,
    run_key character varying(200) NOT NULL
);
CREATE SEQUENCE holdout_uses_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE holdout_uses_id_seq OWNED BY holdout_uses.id;
CREATE TABLE intents (
    model character varying(200) NOT NULL,
    version integer NOT NULL,
    at character varying(40) NOT NULL
);
CREATE TABLE ledger (
    id integer NOT NULL,
    at character varying(40) NOT NULL,
    logical_date character varying(40),
    who character varying(200) NOT NULL,
    model character varying(200) NOT NULL,
    kind character varying(20) NOT NULL,
    from_version integer,
    to_version integer,
    version integer,
    semver character varying(40),
    bundle_sha256 character varying(64),
    challenger boolean NOT NULL,
    reason text NOT NULL,
    evidence text NOT NULL,
    evidence_sha256 character varying(64) NOT NULL,
    metrics text NOT NULL,
    data_source text NOT NULL,
    run_key character varying(200)
);
CREATE SEQUENCE ledger_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE ledger_id_seq OWNED BY ledger.id;
CREATE TABLE runs (
    run_key character varying(200) NOT NULL,
    status character varying(20) NOT NULL,
    owner_host character varying(200) NOT NULL,
    owner_pid integer NOT NULL,
    owner_born character varying(200) NOT NULL,
    started_at character varying(40) NOT NULL,
    seen_at character varying(40) NOT NULL,
    finished_at character varying(40),
    attempts integer NOT NULL,
    result text
);
CREATE TABLE schema_version (
    version integer NOT NULL
);
CREATE SEQUENCE schema_version_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE schema_version_version_seq OWNED BY schema_version.version;
ALTER TABLE ONLY holdout_uses ALTER COLUMN id SET DEFAULT nextval('holdout_uses_id_seq'::regclass);
ALTER TABLE ONLY ledger ALTER COLUMN id SET DEFAULT nextval('ledger_id_seq'::regclass);
ALTER TABLE ONLY schema_version ALTER COLUMN version SET DEFAULT nextval('schema_version_version_seq'::regclass);
INSERT INTO holdout_uses VALUES (1, '2026-11-22T08:28:47.943802+00:00', 'clipcast-tiktok-performance', 'h', 'weekly/1');
INSERT INTO intents VALUES ('clipcast-tiktok-performance', 3, '2026-11-22T08:28:48.032682+00:00');
INSERT INTO ledger VALUES (1, '2026-11-22T08:28:47.850551+00:00', '2026-03-02', 'tester', 'clipcast-tiktok-performance', 'promoted', NULL, 1, 1, '1.0.0', '1111111111111111111111111111111111111111111111111111111111111111', false, 'the first', '{"gain":0.02}', '240192440f752be5ec9713f6ddadbe1fbadf65b4a7d0fd0f2f80036a0cdcfc70', '{"r2":0.7}', 'simulated posts', 'weekly/1');
INSERT INTO ledger VALUES (2, '2026-11-22T08:28:47.885847+00:00', NULL, 'tester', 'clipcast-tiktok-performance', 'kept', 1, 1, 2, '1.1.0', '1111111111111111111111111111111111111111111111111111111111111111', true, 'kept: it''s no better', '{}', '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', '{}', 'simulated posts', NULL);
INSERT INTO runs VALUES ('weekly/1', 'done', 'elsewhere', 7, 'boot:1', '2026-11-22T08:28:48.049596+00:00', '2026-11-22T08:28:48.049596+00:00', '2026-11-22T08:28:48.057350+00:00', 1, '{"version":1}');
INSERT INTO schema_version VALUES (1);
SELECT pg_catalog.setval('holdout_uses_id_seq', 1, true);
SELECT pg_catalog.setval('ledger_id_seq', 2, true);
SELECT pg_catalog.setval('schema_version_version_seq', 1, false);
ALTER TABLE ONLY holdout_uses
    ADD CONSTRAINT holdout_uses_model_holdout_hash_run_key_key UNIQUE (model, holdout_hash, run_key);
ALTER TABLE ONLY holdout_uses
    ADD CONSTRAINT holdout_uses_pkey PRIMARY KEY (id);
ALTER TABLE ONLY intents
    ADD CONSTRAINT intents_pkey PRIMARY KEY (model, version);
ALTER TABLE ONLY ledger
    ADD CONSTRAINT ledger_pkey PRIMARY KEY (id);
ALTER TABLE ONLY ledger
    ADD CONSTRAINT ledger_run_key_model_kind_key UNIQUE (run_key, model, kind);
ALTER TABLE ONLY runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_key);
ALTER TABLE ONLY schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);
CREATE INDEX ledger_of_model ON ledger USING btree (model, id);
CREATE TRIGGER holdout_uses_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON holdout_uses FOR EACH STATEMENT EXECUTE FUNCTION clipcast_append_only();
CREATE TRIGGER ledger_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE FUNCTION clipcast_append_only();
