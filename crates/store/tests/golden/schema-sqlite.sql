-- m0001_tables
CREATE TABLE IF NOT EXISTS "cell" ( "cell_no" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "cell_id" varbinary_blob(80) NOT NULL,
  "supply" integer NOT NULL,
  "net" integer NOT NULL,
  "seq" integer NOT NULL,
  "open" tinyint NOT NULL,
  "tok" integer NOT NULL,
  "flag_seq" integer NOT NULL,
  CHECK (net >= 0 AND net <= supply AND seq >= 0 AND open IN (0, 1, 2)) );
CREATE TABLE IF NOT EXISTS "ledger" ( "cell_no" integer NOT NULL,
  "seq" integer NOT NULL,
  "kind" tinyint NOT NULL,
  "class" tinyint NOT NULL,
  "order_id" blob(16) NOT NULL,
  "buyer" varbinary_blob(128) NOT NULL,
  "qty" integer NOT NULL,
  "note" varbinary_blob(255) NOT NULL,
  "supply_after" integer NOT NULL,
  "net_after" integer NOT NULL,
  "open_after" tinyint NOT NULL,
  "tok" integer NOT NULL,
  "at_ms" integer NOT NULL,
  PRIMARY KEY ("cell_no", "seq") );
CREATE TABLE IF NOT EXISTS "unrowed" ( "cell_no" integer NOT NULL,
  "first_seq" integer NOT NULL,
  "last_seq" integer NOT NULL,
  "at_ms" integer NOT NULL,
  "orders" MEDIUMBLOB NOT NULL,
  PRIMARY KEY ("cell_no", "first_seq") );
CREATE TABLE IF NOT EXISTS "orders" ( "order_id" blob(16) NOT NULL,
  "buyer" varbinary_blob(128) NOT NULL,
  "idem_key" varbinary_blob(128) NULL,
  "status" tinyint NOT NULL,
  "reason" varchar(32) NULL,
  "version" integer NOT NULL,
  "offer" varbinary_blob(64) NOT NULL,
  "bucket" smallint NOT NULL,
  "qty" integer NOT NULL,
  "unit_minor" integer NOT NULL,
  "more_lines" tinyint NOT NULL,
  "currency" varchar(3) NOT NULL,
  "amount" integer NOT NULL,
  "metadata" text NOT NULL,
  "created_at" integer NOT NULL,
  "updated_at" integer NOT NULL,
  "expires_at" integer NOT NULL,
  PRIMARY KEY ("order_id") );
CREATE TABLE IF NOT EXISTS "order_line" ( "order_id" blob(16) NOT NULL,
  "line" smallint NOT NULL,
  "offer" varbinary_blob(64) NOT NULL,
  "bucket" smallint NOT NULL,
  "qty" integer NOT NULL,
  "unit_minor" integer NOT NULL,
  PRIMARY KEY ("order_id", "line") );
CREATE TABLE IF NOT EXISTS "progress" ( "partition_name" varchar(32) NOT NULL,
  "finished_until" integer NOT NULL,
  PRIMARY KEY ("partition_name") );
CREATE TABLE IF NOT EXISTS "barrier_seen" ( "barrier" varchar(64) NOT NULL,
  "partition_name" varchar(32) NOT NULL,
  "at_ms" integer NOT NULL,
  PRIMARY KEY ("barrier", "partition_name") );
CREATE TABLE IF NOT EXISTS "parked" ( "order_id" blob(16) NOT NULL,
  "reason" varchar(500) NOT NULL,
  "payload" blob NOT NULL,
  "at_ms" integer NOT NULL,
  "times" integer NOT NULL,
  "is_open" tinyint NOT NULL,
  PRIMARY KEY ("order_id") );
CREATE TABLE IF NOT EXISTS "parked_frame" ( "id" varchar(64) NOT NULL,
  "partition_name" varchar(32) NOT NULL,
  "reason" varchar(500) NOT NULL,
  "frame" MEDIUMBLOB NOT NULL,
  "at_ms" integer NOT NULL,
  "times" integer NOT NULL,
  "is_open" tinyint NOT NULL,
  PRIMARY KEY ("id") );
CREATE TABLE IF NOT EXISTS "lease" ( "name" varchar(100) NOT NULL,
  "holder" varchar(100) NOT NULL,
  "until_ms" integer NOT NULL,
  PRIMARY KEY ("name") );
CREATE TABLE IF NOT EXISTS "meta" ( "name" varchar(64) NOT NULL,
  "value" text NOT NULL,
  PRIMARY KEY ("name") );
CREATE TABLE IF NOT EXISTS "campaign" ( "id" varchar(64) NOT NULL,
  "number" integer NOT NULL,
  "opens_at" integer NULL,
  "closes_at" integer NULL,
  "payment_window_s" integer NOT NULL,
  PRIMARY KEY ("id") );
CREATE TABLE IF NOT EXISTS "offer" ( "id" varchar(64) NOT NULL,
  "campaign" varchar(64) NOT NULL,
  "sku" varchar(128) NOT NULL,
  "currency" varchar(3) NOT NULL,
  "minor" integer NOT NULL,
  "allotment" integer NOT NULL,
  "limit_per_buyer" integer NULL,
  "buckets" smallint NOT NULL,
  PRIMARY KEY ("id") );
CREATE TABLE IF NOT EXISTS "outbox" ( "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "order_id" varbinary_blob NOT NULL,
  "done" boolean NOT NULL );
CREATE UNIQUE INDEX "cell_name" ON "cell" ("cell_id");
CREATE UNIQUE INDEX "ledger_order" ON "ledger" ("order_id", "cell_no", "class");
CREATE INDEX "unrowed_age" ON "unrowed" ("at_ms");
CREATE UNIQUE INDEX "orders_key" ON "orders" ("buyer", "idem_key");
CREATE UNIQUE INDEX "campaign_number" ON "campaign" ("number");
CREATE INDEX "barrier_age" ON "barrier_seen" ("at_ms");
-- m0002_tenants
-- m0003_life
CREATE TABLE IF NOT EXISTS "money_total" ( "currency" varchar(3) NOT NULL,
  "captured" integer NOT NULL,
  "refunded" integer NOT NULL,
  "under_way" integer NOT NULL,
  "manual" integer NOT NULL,
  "broken" integer NOT NULL,
  "at_ms" integer NOT NULL,
  PRIMARY KEY ("currency") );
CREATE TABLE IF NOT EXISTS "payment" ( "provider" varchar(32) NOT NULL,
  "payment_id" varbinary_blob(128) NOT NULL,
  "order_id" blob(16) NOT NULL,
  "state" tinyint NOT NULL,
  "captured" integer NOT NULL,
  "currency" varchar(3) NOT NULL,
  "fate" tinyint NULL,
  "fate_order" blob(16) NULL,
  "keep" integer NOT NULL,
  "closed" tinyint NOT NULL,
  "attempt" integer NOT NULL,
  "asked" integer NOT NULL,
  "captured_at" integer NOT NULL,
  "at_ms" integer NOT NULL,
  PRIMARY KEY ("provider", "payment_id") );
CREATE TABLE IF NOT EXISTS "pay_session" ( "order_id" blob(16) NOT NULL,
  "provider" varchar(32) NOT NULL,
  "attempt" integer NOT NULL,
  "payment_id" varbinary_blob(128) NULL,
  "redirect" blob NOT NULL,
  "at_ms" integer NOT NULL,
  PRIMARY KEY ("order_id", "provider") );
CREATE TABLE IF NOT EXISTS "provider" ( "id" varchar(32) NOT NULL,
  "adapter" tinyint NOT NULL,
  "secrets" blob NOT NULL,
  "base_url" varchar(500) NOT NULL,
  "timeout_ms" integer NOT NULL,
  PRIMARY KEY ("id") );
CREATE TABLE IF NOT EXISTS "refund" ( "order_id" blob(16) NOT NULL,
  "refund_id" varbinary_blob(64) NOT NULL,
  "provider" varchar(32) NOT NULL,
  "payment_id" varbinary_blob(128) NOT NULL,
  "sort" tinyint NOT NULL,
  "amount" integer NOT NULL,
  "asked" integer NOT NULL,
  "parts" blob NOT NULL,
  "is_whole" tinyint NOT NULL,
  "restocks" tinyint NOT NULL,
  "ordinal" tinyint NULL,
  "state" tinyint NOT NULL,
  "tries" integer NOT NULL,
  "first_sent" integer NOT NULL,
  "moved_at" integer NOT NULL,
  "at_ms" integer NOT NULL,
  PRIMARY KEY ("order_id", "refund_id", "provider", "payment_id") );
CREATE TABLE IF NOT EXISTS "order_detail" ( "order_id" blob(16) NOT NULL,
  "buyer" varbinary_blob(162) NOT NULL,
  "data" blob NOT NULL,
  "at_ms" integer NOT NULL,
  PRIMARY KEY ("order_id") );
CREATE TABLE IF NOT EXISTS "order_history" ( "order_id" blob(16) NOT NULL,
  "version" integer NOT NULL,
  "from_status" tinyint NOT NULL,
  "to_status" tinyint NOT NULL,
  "cause" varchar(32) NOT NULL,
  "actor" varchar(160) NOT NULL,
  "at_ms" integer NOT NULL,
  PRIMARY KEY ("order_id", "version") );
CREATE TABLE IF NOT EXISTS "giveback" ( "order_id" blob(16) NOT NULL,
  "cell" varbinary_blob(100) NOT NULL,
  "class" tinyint NOT NULL,
  "units" integer NOT NULL,
  "frees_limit" tinyint NOT NULL,
  "db" smallint NOT NULL,
  "next_at" integer NOT NULL,
  "attempts" integer NOT NULL,
  PRIMARY KEY ("order_id", "cell", "class") );
CREATE TABLE IF NOT EXISTS "due" ( "kind" tinyint NOT NULL,
  "subject" varbinary_blob(300) NOT NULL,
  "order_id" blob(16) NOT NULL,
  "at_ms" integer NOT NULL,
  "attempts" integer NOT NULL,
  "started_at" integer NOT NULL,
  PRIMARY KEY ("kind", "subject") );
CREATE TABLE IF NOT EXISTS "task" ( "kind" tinyint NOT NULL,
  "subject" varbinary_blob(300) NOT NULL,
  "order_id" blob(16) NOT NULL,
  "is_open" tinyint NOT NULL,
  "times" integer NOT NULL,
  "at_ms" integer NOT NULL,
  "resolved_by" varchar(128) NOT NULL,
  "note" varchar(500) NOT NULL,
  PRIMARY KEY ("kind", "subject") );
CREATE TABLE IF NOT EXISTS "fact" ( "id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "orders" blob NOT NULL,
  "version" integer NOT NULL,
  "fact" varchar(32) NOT NULL,
  "data" blob NOT NULL,
  "at_ms" integer NOT NULL,
  "place" integer NULL );
ALTER TABLE "orders" ADD COLUMN "captured" integer NOT NULL DEFAULT 0;
ALTER TABLE "orders" ADD COLUMN "refunded" integer NOT NULL DEFAULT 0;
ALTER TABLE "orders" ADD COLUMN "supersedes" blob(16) NULL;
ALTER TABLE "orders" ADD COLUMN "superseded_by" blob(16) NULL;
ALTER TABLE "orders" ADD COLUMN "came_from" tinyint NULL;
ALTER TABLE "orders" ADD COLUMN "window_ms" integer NULL;
ALTER TABLE "offer" ADD COLUMN "late_payment" tinyint NOT NULL DEFAULT 0;
ALTER TABLE "offer" ADD COLUMN "refund" tinyint NOT NULL DEFAULT 0;
ALTER TABLE "offer" ADD COLUMN "restock" tinyint NOT NULL DEFAULT 0;
ALTER TABLE "offer" ADD COLUMN "cancel_paid" tinyint NOT NULL DEFAULT 0;
ALTER TABLE "offer" ADD COLUMN "limit_counts" tinyint NOT NULL DEFAULT 0;
CREATE INDEX "orders_expiry" ON "orders" ("status", "expires_at");
CREATE INDEX "payment_order" ON "payment" ("order_id");
CREATE INDEX "payment_fate" ON "payment" ("fate_order");
CREATE INDEX "payment_captured" ON "payment" ("provider", "captured_at", "payment_id");
CREATE INDEX "refund_moved" ON "refund" ("provider", "moved_at", "order_id");
CREATE INDEX "order_detail_buyer" ON "order_detail" ("buyer");
CREATE INDEX "giveback_next" ON "giveback" ("db", "next_at");
CREATE INDEX "due_at" ON "due" ("at_ms", "kind");
CREATE INDEX "fact_place" ON "fact" ("place");
CREATE INDEX "task_open" ON "task" ("is_open", "kind", "subject");
