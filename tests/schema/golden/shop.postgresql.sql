CREATE TABLE customer (
	id BIGINT DEFAULT nextval('customer_id_seq') NOT NULL,
	full_name TEXT,
	spent DOUBLE PRECISION DEFAULT 0 NOT NULL,
	order_count BIGINT DEFAULT 0 NOT NULL,
	label TEXT,
	leader_id BIGINT,
	_spent__sum NUMERIC DEFAULT 0 NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT ck_customer_named CHECK (full_name IS NOT NULL),
	CONSTRAINT fk_customer_leader_id FOREIGN KEY(leader_id) REFERENCES customer (id)
)

CREATE INDEX ix_customer_leader_id ON customer (leader_id)

CREATE TABLE customer_likes_liked_by_customer (
	id BIGINT DEFAULT nextval('customer_likes_liked_by_customer_id_seq') NOT NULL,
	source_id BIGINT NOT NULL,
	target_id BIGINT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT uq_customer_likes_liked_by_customer_source_id_target_id UNIQUE (source_id, target_id),
	CONSTRAINT fk_customer_likes_liked_by_customer_source_id FOREIGN KEY(source_id) REFERENCES customer (id),
	CONSTRAINT fk_customer_likes_liked_by_customer_target_id FOREIGN KEY(target_id) REFERENCES customer (id)
)

CREATE INDEX ix_customer_likes_liked_by_customer_target_id ON customer_likes_liked_by_customer (target_id)

CREATE TABLE dictionary_paid_orders (
	id INTEGER NOT NULL,
	value BIGINT DEFAULT 0 NOT NULL,
	PRIMARY KEY (id)
)

CREATE TABLE dictionary_settings (
	id INTEGER NOT NULL,
	value JSONB,
	PRIMARY KEY (id)
)

CREATE TABLE interaqt_counters (
	name VARCHAR NOT NULL,
	last BIGINT NOT NULL,
	PRIMARY KEY (name)
)

CREATE TABLE interaqt_values (
	concept VARCHAR NOT NULL,
	key VARCHAR NOT NULL,
	value JSON NOT NULL,
	PRIMARY KEY (concept, key)
)

CREATE TABLE membership (
	id BIGINT DEFAULT nextval('membership_id_seq') NOT NULL,
	source_id BIGINT NOT NULL,
	target_id BIGINT NOT NULL,
	role TEXT,
	PRIMARY KEY (id),
	CONSTRAINT uq_membership_source_id_target_id UNIQUE (source_id, target_id),
	CONSTRAINT uq_membership_one_role UNIQUE (target_id, role),
	CONSTRAINT fk_membership_source_id FOREIGN KEY(source_id) REFERENCES customer (id),
	CONSTRAINT fk_membership_target_id FOREIGN KEY(target_id) REFERENCES team (id)
)

CREATE INDEX ix_membership_target_id ON membership (target_id)

CREATE TABLE "order" (
	id BIGINT DEFAULT nextval('order_id_seq') NOT NULL,
	total DOUBLE PRECISION,
	note TEXT,
	tags JSONB,
	status TEXT DEFAULT 'pending' NOT NULL,
	customer_id BIGINT,
	PRIMARY KEY (id),
	CONSTRAINT uq_order_one_total UNIQUE (total, note),
	CONSTRAINT fk_order_customer_id FOREIGN KEY(customer_id) REFERENCES customer (id)
)

CREATE INDEX ix_order_customer_id ON "order" (customer_id)

CREATE INDEX ix_order_total ON "order" (total)

CREATE UNIQUE INDEX uq_order_one_note_afdf7e03 ON "order" (customer_id, note) WHERE status = 'pending'

CREATE TABLE shipment (
	id BIGINT DEFAULT nextval('shipment_id_seq') NOT NULL,
	order_id BIGINT,
	PRIMARY KEY (id)
)

CREATE TABLE shipping (
	id BIGINT DEFAULT nextval('shipping_id_seq') NOT NULL,
	source_id BIGINT NOT NULL,
	target_id BIGINT NOT NULL,
	cost DOUBLE PRECISION,
	PRIMARY KEY (id),
	CONSTRAINT uq_shipping_source_id UNIQUE (source_id),
	CONSTRAINT fk_shipping_source_id FOREIGN KEY(source_id) REFERENCES shipment (id),
	CONSTRAINT fk_shipping_target_id FOREIGN KEY(target_id) REFERENCES "order" (id)
)

CREATE INDEX ix_shipping_target_id ON shipping (target_id)

CREATE TABLE team (
	id BIGINT DEFAULT nextval('team_id_seq') NOT NULL,
	name TEXT,
	boss_id BIGINT,
	PRIMARY KEY (id),
	CONSTRAINT uq_team_boss_id UNIQUE (boss_id),
	CONSTRAINT uq_team_team_name UNIQUE (name),
	CONSTRAINT fk_team_boss_id FOREIGN KEY(boss_id) REFERENCES customer (id)
)
