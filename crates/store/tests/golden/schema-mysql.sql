-- m0001_tables
CREATE TABLE IF NOT EXISTS `cell` ( `cell_no` int NOT NULL PRIMARY KEY AUTO_INCREMENT, `cell_id` varbinary(80) NOT NULL,
  `supply` bigint NOT NULL,
  `net` bigint NOT NULL,
  `seq` bigint NOT NULL,
  `open` tinyint NOT NULL,
  `tok` bigint NOT NULL,
  `flag_seq` bigint NOT NULL,
  CHECK (net >= 0 AND net <= supply AND seq >= 0 AND open IN (0, 1, 2)) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `ledger` ( `cell_no` int NOT NULL,
  `seq` bigint NOT NULL,
  `kind` tinyint NOT NULL,
  `class` tinyint NOT NULL,
  `order_id` binary(16) NOT NULL,
  `buyer` varbinary(128) NOT NULL,
  `qty` bigint NOT NULL,
  `note` varbinary(255) NOT NULL,
  `supply_after` bigint NOT NULL,
  `net_after` bigint NOT NULL,
  `open_after` tinyint NOT NULL,
  `tok` bigint NOT NULL,
  `at_ms` bigint NOT NULL,
  PRIMARY KEY (`cell_no`, `seq`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `unrowed` ( `cell_no` int NOT NULL,
  `first_seq` bigint NOT NULL,
  `last_seq` bigint NOT NULL,
  `at_ms` bigint NOT NULL,
  `orders` MEDIUMBLOB NOT NULL,
  PRIMARY KEY (`cell_no`, `first_seq`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `orders` ( `order_id` binary(16) NOT NULL,
  `buyer` varbinary(128) NOT NULL,
  `idem_key` varbinary(128) NULL,
  `status` tinyint NOT NULL,
  `reason` varchar(32) NULL,
  `version` int NOT NULL,
  `offer` varbinary(64) NOT NULL,
  `bucket` smallint NOT NULL,
  `qty` int NOT NULL,
  `unit_minor` bigint NOT NULL,
  `more_lines` tinyint NOT NULL,
  `currency` varchar(3) NOT NULL,
  `amount` bigint NOT NULL,
  `metadata` text NOT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint NOT NULL,
  `expires_at` bigint NOT NULL,
  PRIMARY KEY (`order_id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `order_line` ( `order_id` binary(16) NOT NULL,
  `line` smallint NOT NULL,
  `offer` varbinary(64) NOT NULL,
  `bucket` smallint NOT NULL,
  `qty` int NOT NULL,
  `unit_minor` bigint NOT NULL,
  PRIMARY KEY (`order_id`, `line`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `progress` ( `partition_name` varchar(32) NOT NULL,
  `finished_until` bigint NOT NULL,
  PRIMARY KEY (`partition_name`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `barrier_seen` ( `barrier` varchar(64) NOT NULL,
  `partition_name` varchar(32) NOT NULL,
  `at_ms` bigint NOT NULL,
  PRIMARY KEY (`barrier`, `partition_name`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `parked` ( `order_id` binary(16) NOT NULL,
  `reason` varchar(500) NOT NULL,
  `payload` blob NOT NULL,
  `at_ms` bigint NOT NULL,
  `times` int NOT NULL,
  `is_open` tinyint NOT NULL,
  PRIMARY KEY (`order_id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `parked_frame` ( `id` varchar(64) NOT NULL,
  `partition_name` varchar(32) NOT NULL,
  `reason` varchar(500) NOT NULL,
  `frame` MEDIUMBLOB NOT NULL,
  `at_ms` bigint NOT NULL,
  `times` int NOT NULL,
  `is_open` tinyint NOT NULL,
  PRIMARY KEY (`id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `lease` ( `name` varchar(100) NOT NULL,
  `holder` varchar(100) NOT NULL,
  `until_ms` bigint NOT NULL,
  PRIMARY KEY (`name`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `meta` ( `name` varchar(64) NOT NULL,
  `value` text NOT NULL,
  PRIMARY KEY (`name`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `campaign` ( `id` varchar(64) NOT NULL,
  `number` int NOT NULL,
  `opens_at` bigint NULL,
  `closes_at` bigint NULL,
  `payment_window_s` int NOT NULL,
  PRIMARY KEY (`id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `offer` ( `id` varchar(64) NOT NULL,
  `campaign` varchar(64) NOT NULL,
  `sku` varchar(128) NOT NULL,
  `currency` varchar(3) NOT NULL,
  `minor` bigint NOT NULL,
  `allotment` bigint NOT NULL,
  `limit_per_buyer` int NULL,
  `buckets` smallint NOT NULL,
  PRIMARY KEY (`id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `outbox` ( `id` bigint NOT NULL PRIMARY KEY AUTO_INCREMENT, `order_id` varbinary(255) NOT NULL,
  `done` bool NOT NULL ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE UNIQUE INDEX `cell_name` ON `cell` (`cell_id`);
CREATE UNIQUE INDEX `ledger_order` ON `ledger` (`order_id`, `cell_no`, `class`);
CREATE INDEX `unrowed_age` ON `unrowed` (`at_ms`);
CREATE UNIQUE INDEX `orders_key` ON `orders` (`buyer`, `idem_key`);
CREATE UNIQUE INDEX `campaign_number` ON `campaign` (`number`);
CREATE INDEX `barrier_age` ON `barrier_seen` (`at_ms`);
-- m0002_tenants
ALTER TABLE `cell` MODIFY COLUMN `cell_id` varbinary(100) NOT NULL;
ALTER TABLE `orders` MODIFY COLUMN `buyer` varbinary(162) NOT NULL,
  MODIFY COLUMN `offer` varbinary(97) NOT NULL;
ALTER TABLE `order_line` MODIFY COLUMN `offer` varbinary(97) NOT NULL;
ALTER TABLE `campaign` MODIFY COLUMN `id` varchar(97) NOT NULL;
ALTER TABLE `offer` MODIFY COLUMN `id` varchar(97) NOT NULL,
  MODIFY COLUMN `campaign` varchar(97) NOT NULL;
ALTER TABLE `lease` MODIFY COLUMN `name` varchar(128) NOT NULL;
-- m0003_life
CREATE TABLE IF NOT EXISTS `money_total` ( `currency` varchar(3) NOT NULL,
  `captured` bigint NOT NULL,
  `refunded` bigint NOT NULL,
  `under_way` bigint NOT NULL,
  `manual` bigint NOT NULL,
  `broken` bigint NOT NULL,
  `at_ms` bigint NOT NULL,
  PRIMARY KEY (`currency`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `payment` ( `provider` varchar(32) NOT NULL,
  `payment_id` varbinary(128) NOT NULL,
  `order_id` binary(16) NOT NULL,
  `state` tinyint NOT NULL,
  `captured` bigint NOT NULL,
  `currency` varchar(3) NOT NULL,
  `fate` tinyint NULL,
  `fate_order` binary(16) NULL,
  `keep` bigint NOT NULL,
  `closed` tinyint NOT NULL,
  `attempt` int NOT NULL,
  `asked` int NOT NULL,
  `captured_at` bigint NOT NULL,
  `at_ms` bigint NOT NULL,
  PRIMARY KEY (`provider`, `payment_id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `pay_session` ( `order_id` binary(16) NOT NULL,
  `provider` varchar(32) NOT NULL,
  `attempt` int NOT NULL,
  `payment_id` varbinary(128) NULL,
  `redirect` blob NOT NULL,
  `at_ms` bigint NOT NULL,
  PRIMARY KEY (`order_id`, `provider`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `provider` ( `id` varchar(32) NOT NULL,
  `adapter` tinyint NOT NULL,
  `secrets` blob NOT NULL,
  `base_url` varchar(500) NOT NULL,
  `timeout_ms` int NOT NULL,
  PRIMARY KEY (`id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `refund` ( `order_id` binary(16) NOT NULL,
  `refund_id` varbinary(64) NOT NULL,
  `provider` varchar(32) NOT NULL,
  `payment_id` varbinary(128) NOT NULL,
  `sort` tinyint NOT NULL,
  `amount` bigint NOT NULL,
  `asked` bigint NOT NULL,
  `parts` blob NOT NULL,
  `is_whole` tinyint NOT NULL,
  `restocks` tinyint NOT NULL,
  `ordinal` tinyint NULL,
  `state` tinyint NOT NULL,
  `tries` int NOT NULL,
  `first_sent` bigint NOT NULL,
  `moved_at` bigint NOT NULL,
  `at_ms` bigint NOT NULL,
  PRIMARY KEY (`order_id`, `refund_id`, `provider`, `payment_id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `order_detail` ( `order_id` binary(16) NOT NULL,
  `buyer` varbinary(162) NOT NULL,
  `data` blob NOT NULL,
  `at_ms` bigint NOT NULL,
  PRIMARY KEY (`order_id`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `order_history` ( `order_id` binary(16) NOT NULL,
  `version` int NOT NULL,
  `from_status` tinyint NOT NULL,
  `to_status` tinyint NOT NULL,
  `cause` varchar(32) NOT NULL,
  `actor` varchar(160) NOT NULL,
  `at_ms` bigint NOT NULL,
  PRIMARY KEY (`order_id`, `version`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `giveback` ( `order_id` binary(16) NOT NULL,
  `cell` varbinary(100) NOT NULL,
  `class` tinyint NOT NULL,
  `units` int NOT NULL,
  `frees_limit` tinyint NOT NULL,
  `db` smallint NOT NULL,
  `next_at` bigint NOT NULL,
  `attempts` int NOT NULL,
  PRIMARY KEY (`order_id`, `cell`, `class`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `due` ( `kind` tinyint NOT NULL,
  `subject` varbinary(300) NOT NULL,
  `order_id` binary(16) NOT NULL,
  `at_ms` bigint NOT NULL,
  `attempts` int NOT NULL,
  `started_at` bigint NOT NULL,
  PRIMARY KEY (`kind`, `subject`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `task` ( `kind` tinyint NOT NULL,
  `subject` varbinary(300) NOT NULL,
  `order_id` binary(16) NOT NULL,
  `is_open` tinyint NOT NULL,
  `times` int NOT NULL,
  `at_ms` bigint NOT NULL,
  `resolved_by` varchar(128) NOT NULL,
  `note` varchar(500) NOT NULL,
  PRIMARY KEY (`kind`, `subject`) ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS `fact` ( `id` bigint NOT NULL PRIMARY KEY AUTO_INCREMENT, `orders` blob NOT NULL,
  `version` int NOT NULL,
  `fact` varchar(32) NOT NULL,
  `data` blob NOT NULL,
  `at_ms` bigint NOT NULL,
  `place` bigint NULL ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
ALTER TABLE `orders` ADD COLUMN `captured` bigint NOT NULL DEFAULT 0;
ALTER TABLE `orders` ADD COLUMN `refunded` bigint NOT NULL DEFAULT 0;
ALTER TABLE `orders` ADD COLUMN `supersedes` binary(16) NULL;
ALTER TABLE `orders` ADD COLUMN `superseded_by` binary(16) NULL;
ALTER TABLE `orders` ADD COLUMN `came_from` tinyint NULL;
ALTER TABLE `orders` ADD COLUMN `window_ms` bigint NULL;
ALTER TABLE `offer` ADD COLUMN `late_payment` tinyint NOT NULL DEFAULT 0;
ALTER TABLE `offer` ADD COLUMN `refund` tinyint NOT NULL DEFAULT 0;
ALTER TABLE `offer` ADD COLUMN `restock` tinyint NOT NULL DEFAULT 0;
ALTER TABLE `offer` ADD COLUMN `cancel_paid` tinyint NOT NULL DEFAULT 0;
ALTER TABLE `offer` ADD COLUMN `limit_counts` tinyint NOT NULL DEFAULT 0;
CREATE INDEX `orders_expiry` ON `orders` (`status`, `expires_at`);
CREATE INDEX `payment_order` ON `payment` (`order_id`);
CREATE INDEX `payment_fate` ON `payment` (`fate_order`);
CREATE INDEX `payment_captured` ON `payment` (`provider`, `captured_at`, `payment_id`);
CREATE INDEX `refund_moved` ON `refund` (`provider`, `moved_at`, `order_id`);
CREATE INDEX `order_detail_buyer` ON `order_detail` (`buyer`);
CREATE INDEX `giveback_next` ON `giveback` (`db`, `next_at`);
CREATE INDEX `due_at` ON `due` (`at_ms`, `kind`);
CREATE INDEX `fact_place` ON `fact` (`place`);
CREATE INDEX `task_open` ON `task` (`is_open`, `kind`, `subject`);
