-- MySQL dump 10.13  Distrib 8.4.0, for Linux (x86_64)
--
-- Host: localhost    Database: astron_console
-- ------------------------------------------------------
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8mb4 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;

--
-- Table structure for table `agent_enterprise`
--

DROP TABLE IF EXISTS `agent_enterprise`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
CREATE TABLE `agent_enterprise` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `uid` varchar(128) DEFAULT NULL COMMENT 'creator, the one who pays; not `id`',
  `name` varchar(50) DEFAULT NULL,
  `logo_url` varchar(1024) DEFAULT NULL,
  `avatar_url` varchar(1024) DEFAULT NULL,
  `org_id` bigint DEFAULT NULL,
  `service_type` tinyint DEFAULT NULL,
  `create_time` datetime DEFAULT CURRENT_TIMESTAMP,
  `expire_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  `deleted` tinyint DEFAULT '0',
  PRIMARY KEY (`id`),
  KEY `idx_uid` (`uid`),
  KEY `idx_name` (`name`)
) ENGINE=InnoDB AUTO_INCREMENT=12 DEFAULT CHARSET=utf8mb4 COMMENT='teams; and enterprises';

LOCK TABLES `agent_enterprise` WRITE;
/*!40000 ALTER TABLE `agent_enterprise` DISABLE KEYS */;
INSERT INTO `agent_enterprise` VALUES (1,'u-1001','星辰科技','https://cdn/logo.png',NULL,77,2,'2025-03-01 09:00:00','2035-01-01 00:00:00','2025-03-02 10:00:00',0),(7,'casdoor/李雷','O\'Brien; \"& Sons\" -- (no comment)','','',NULL,1,'2025-04-01 08:00:00','2099-12-31 23:59:59','2025-04-01 08:00:00',0),
(11,'u-1001','Gone',NULL,NULL,NULL,1,'2024-01-01 00:00:00',NULL,'2024-01-01 00:00:00',1);
/*!40000 ALTER TABLE `agent_enterprise` ENABLE KEYS */;
UNLOCK TABLES;

DROP TABLE IF EXISTS `agent_enterprise_permission`;
CREATE TABLE `agent_enterprise_permission` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `module` varchar(50) DEFAULT NULL,
  `description` varchar(255) DEFAULT NULL,
  `permission_key` varchar(64) DEFAULT NULL,
  `officer` tinyint DEFAULT NULL,
  `governor` tinyint DEFAULT NULL,
  `staff` tinyint DEFAULT NULL,
  `available_expired` tinyint DEFAULT NULL,
  `create_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `agent_enterprise_permission` VALUES (1,'space','创建空间','space.create',1,1,1,0,NULL,NULL),(2,'other','x','EnterpriseController_x',1,0,0,0,NULL,NULL);

DROP TABLE IF EXISTS `agent_enterprise_user`;
CREATE TABLE `agent_enterprise_user` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `enterprise_id` bigint DEFAULT NULL,
  `uid` varchar(128) DEFAULT NULL,
  `nickname` varchar(64) DEFAULT NULL,
  `role` tinyint DEFAULT NULL,
  `create_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `agent_enterprise_user` (`id`, `enterprise_id`, `uid`, `nickname`, `role`, `create_time`, `update_time`) VALUES (1,1,'u-1001','老板\n😀',1,'2025-03-01 09:00:00','2025-03-01 09:00:00');
INSERT INTO `agent_enterprise_user` (`id`, `enterprise_id`, `uid`, `nickname`, `role`, `create_time`, `update_time`) VALUES (2,1,'u-1002',NULL,3,NULL,NULL),(3,7,'casdoor/李雷','',1,NULL,NULL),(4,999,'u-1002','',3,NULL,NULL),(5,7,'u-1002','',9,NULL,NULL);

DROP TABLE IF EXISTS `agent_apply_record`;
CREATE TABLE `agent_apply_record` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `enterprise_id` bigint DEFAULT NULL,
  `space_id` bigint DEFAULT NULL,
  `apply_uid` varchar(128) DEFAULT NULL,
  `apply_nickname` varchar(64) DEFAULT NULL,
  `apply_time` datetime DEFAULT NULL,
  `status` tinyint DEFAULT NULL,
  `audit_time` datetime DEFAULT NULL,
  `audit_uid` varchar(128) DEFAULT NULL,
  `create_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `agent_apply_record` VALUES (31,1,21,'u-1003','小王','2025-06-01 10:00:00',1,NULL,NULL,'2025-06-01 10:00:00','2025-06-01 10:00:00'),(32,1,21,'u-1002','','2025-05-01 10:00:00',2,'2025-05-02 10:00:00','u-1001',NULL,NULL),(33,1,21,'u-1002','','2025-06-01 10:00:00',1,NULL,NULL,NULL,NULL),(34,NULL,22,'u-1003','','2025-06-01 10:00:00',1,NULL,NULL,NULL,NULL),(35,1,21,'u-1003','','2025-06-02 10:00:00',1,NULL,'',NULL,NULL),(36,1,21,'u-1003','','2025-06-02 10:00:00',7,NULL,'',NULL,NULL);

DROP TABLE IF EXISTS `agent_invite_record`;
CREATE TABLE `agent_invite_record` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `type` tinyint DEFAULT NULL,
  `space_id` bigint DEFAULT NULL,
  `enterprise_id` bigint DEFAULT NULL,
  `invitee_uid` varchar(128) DEFAULT NULL,
  `role` tinyint DEFAULT NULL,
  `invitee_nickname` varchar(64) DEFAULT NULL,
  `inviter_uid` varchar(128) DEFAULT NULL,
  `expire_time` datetime DEFAULT NULL,
  `status` tinyint DEFAULT NULL,
  `create_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `agent_invite_record` VALUES (41,1,21,1,'u-1003',2,'小王','u-1001','2099-06-01 08:00:00',1,'2025-06-01 10:00:00','2025-06-01 10:00:00'),(42,2,NULL,7,'u-1003',3,'','casdoor/李雷','2025-06-08 10:00:00',1,'2025-06-01 10:00:00',NULL),(43,1,22,NULL,'u-1001',3,'','u-1002',NULL,4,'2025-06-01 10:00:00',NULL),(44,1,21,1,'u-1003',3,'','u-1001','2099-06-01 08:00:00',1,NULL,NULL),(45,1,21,1,'u-1002',3,'','u-1001','2099-06-01 08:00:00',1,NULL,NULL),(46,1,21,1,'u-1003',3,'','u-1001',NULL,3,NULL,NULL),(47,1,23,NULL,'u-1003',3,'','u-1001','2025-06-08 10:00:00',2,NULL,NULL);

DROP TABLE IF EXISTS `agent_share_record`;
CREATE TABLE `agent_share_record` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `uid` varchar(128) DEFAULT NULL,
  `base_id` bigint DEFAULT NULL,
  `share_key` varchar(64) DEFAULT NULL,
  `share_type` tinyint DEFAULT NULL,
  `is_act` tinyint DEFAULT NULL,
  `create_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `agent_share_record` VALUES (51,'u-1001',5,'abc',0,1,NULL,NULL),(52,'u-1002',6,'def',0,0,NULL,NULL);

DROP TABLE IF EXISTS `agent_space`;
CREATE TABLE `agent_space` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `name` varchar(50) DEFAULT NULL,
  `description` varchar(2000) DEFAULT NULL,
  `avatar_url` varchar(1024) DEFAULT NULL,
  `uid` varchar(128) DEFAULT NULL,
  `enterprise_id` bigint DEFAULT NULL,
  `type` tinyint DEFAULT NULL,
  `create_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT NULL,
  `deleted` tinyint DEFAULT '0',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `agent_space` VALUES (21,'默认空间','a\\b\tc','', 'u-1001',1,4,'2025-03-01 09:00:00','2025-03-01 09:00:00',0),(22,'Mine',NULL,NULL,'u-1002',NULL,1,NULL,NULL,0),(23,'Lost','','','u-1002',555,3,NULL,NULL,0);

DROP TABLE IF EXISTS `agent_space_permission`;
CREATE TABLE `agent_space_permission` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `module` varchar(50) DEFAULT NULL,
  `point` varchar(50) DEFAULT NULL,
  `description` varchar(255) DEFAULT NULL,
  `permission_key` varchar(64) DEFAULT NULL,
  `owner` tinyint DEFAULT NULL,
  `admin` tinyint DEFAULT NULL,
  `member` tinyint DEFAULT NULL,
  `available_expired` tinyint DEFAULT NULL,
  `create_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `agent_space_permission` VALUES (1,'robot','delete','','robot.delete',1,0,0,0,NULL,NULL);

DROP TABLE IF EXISTS `agent_space_user`;
CREATE TABLE `agent_space_user` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `space_id` bigint DEFAULT NULL,
  `uid` varchar(128) DEFAULT NULL,
  `nickname` varchar(64) DEFAULT NULL,
  `role` tinyint DEFAULT NULL,
  `last_visit_time` datetime DEFAULT NULL,
  `create_time` datetime DEFAULT NULL,
  `update_time` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `agent_space_user` VALUES (1,21,'u-1001','',1,'2025-05-05 05:05:05',NULL,NULL),(2,21,'u-1002','',3,NULL,NULL,NULL),(3,22,'u-1002','',1,NULL,NULL,NULL);

DROP TABLE IF EXISTS `execute_log`;
CREATE TABLE `execute_log` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `log` longtext,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `execute_log` VALUES (1,'INSERT INTO `agent_space` VALUES (666,\'evil\');'),(2,'it''s; fine -- /* really */');
DELIMITER ;;
CREATE TRIGGER `t` BEFORE INSERT ON `execute_log` FOR EACH ROW BEGIN SET NEW.log = 'don''t;'; END ;;
DELIMITER ;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
-- Dump completed on 2025-09-01  0:00:00
