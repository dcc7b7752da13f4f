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
