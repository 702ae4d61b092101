//! Whole dumps, as programs and people write them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use postern_mysql_dump::{ColumnError, Error, Found, Problem, Reader, Row, Value};

const TABLES: &[&str] = &["account", "badge"];

/// As mysqldump writes it: comments that MySQL executes, locks, all rows of a table in one statement.
const MYSQLDUMP: &[u8] = b"-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
--
-- Host: localhost    Database: company
-- ------------------------------------------------------
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!50503 SET NAMES utf8mb4 */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;

--
-- Table structure for table `account`
--

DROP TABLE IF EXISTS `account`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!50503 SET character_set_client = utf8mb4 */;
CREATE TABLE `account` (
  `id` int NOT NULL AUTO_INCREMENT,
  `name` varchar(255) CHARACTER SET utf8mb3 DEFAULT NULL COMMENT 'a name (unique); e.g. ''ann'', \"bob\"',
  `photo` blob,
  `rate` decimal(10,2) DEFAULT '0.00',
  `changed` timestamp NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`),
  UNIQUE KEY `name` (`name`),
  KEY `by_rate` (`rate`,`id`) USING BTREE,
  CONSTRAINT `boss` FOREIGN KEY (`id`) REFERENCES `other` (`id`) ON DELETE CASCADE,
  CHECK ((`rate` >= 0))
) ENGINE=InnoDB AUTO_INCREMENT=4 DEFAULT CHARSET=utf8mb3 COMMENT='all (active) accounts; one each';
/*!40101 SET character_set_client = @saved_cs_client */;

--
-- Dumping data for table `account`
--

LOCK TABLES `account` WRITE;
/*!40000 ALTER TABLE `account` DISABLE KEYS */;
INSERT INTO `account` VALUES (1,'ann',_binary '\\0\xff\\'\\\"\\\\\\n\\r\\Z\xc3(',10.50,'2024-01-01 00:00:00'),(2,'O\\'Neil; (x)',NULL,-3.00,NULL),(3,NULL,0x00FF41,1e-7,'2024-01-01 00:00:00');
/*!40000 ALTER TABLE `account` ENABLE KEYS */;
UNLOCK TABLES;
/*!50003 SET sql_mode              = 'ONLY_FULL_GROUP_BY' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER `t` BEFORE INSERT ON `account` FOR EACH ROW BEGIN
  INSERT INTO badge VALUES (9, 'in a trigger');
END */;;
CREATE DEFINER=`root`@`%` PROCEDURE `p`()
BEGIN
  INSERT INTO badge VALUES (9, 'in a procedure');
END ;;
DELIMITER ;
DROP TABLE IF EXISTS `badge`;
CREATE TABLE `badge` (
  `id` int NOT NULL,
  `title` varchar(255) DEFAULT NULL
) ENGINE=InnoDB;
LOCK TABLES `badge` WRITE;
INSERT INTO `badge` VALUES (1,'first');
UNLOCK TABLES;
-- Dump completed on 2024-05-05  5:05:05
";

/// As people write it.
const BY_HAND: &[u8] = b"\xef\xbb\xbfSET NAMES utf8;
create table if not exists company.account (
    id int primary key, # not 'null'
    name varchar(255), -- it's theirs
    kind enum('a','b') default 'a',
    key by_name (name)
);
insert ignore into account (id, name) values (1, 'ann'), (2, \"bob \"\"the\"\" o'neil\")
    on duplicate key update name = values(name);
/* two
   lines; 'x */
replace into `company`.`account` (`name`, `id`) value ('it''s', +3);
INSERT INTO account VALUES (4, N'dan', 'b');
INSERT INTO unknown VALUES (1, 'x'), (2, ');');
INSERT INTO account (id, name, kind) VALUES (5, upper('eve'), DEFAULT), (6, true, NOW());
INSERT INTO account SET id = 7, name = 'fay';
insert into badge(id,title) values(1,_utf8mb4'\\%\\_') ,
  (2, x'4142'), (3, b'01000001')";

fn read(dump: &[u8]) -> Vec<Result<Row<'_>, Error>> {
    Reader::new(TABLES).rows(dump).collect()
}

fn good(dump: &[u8]) -> Vec<Row<'_>> {
    read(dump).into_iter().map(Result::unwrap).collect()
}

fn bytes(bytes: &[u8]) -> Value<'_> {
    Value::Bytes(bytes.into())
}

/// Each row as `line table value|value`.
fn summary(dump: &[u8]) -> Vec<String> {
    let shown = |value: &Value<'_>| match value {
        Value::Null => "NULL".into(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Computed => "?".into(),
    };
    read(dump)
        .into_iter()
        .map(|row| match row {
            Ok(row) => {
                let values: Vec<String> = row.values.iter().map(shown).collect();
                format!("{} {} {}", row.line, row.table, values.join("|"))
            }
            Err(error) => error.to_string(),
        })
        .collect()
}

#[test]
fn what_mysqldump_writes_is_read_byte_for_byte() {
    let rows = good(MYSQLDUMP);
    let columns = ["id", "name", "photo", "rate", "changed"];
    assert_eq!(*rows[0].columns, columns);
    assert_eq!(rows.len(), 4);
    assert_eq!((rows[0].table, rows[0].line), ("account", 36));
    assert_eq!(rows[0].values[2], bytes(b"\0\xff'\"\\\n\r\x1a\xc3("));
    assert_eq!(
        rows[1].values,
        [
            bytes(b"2"),
            bytes(b"O'Neil; (x)"),
            Value::Null,
            bytes(b"-3.00"),
            Value::Null
        ]
    );
    assert_eq!(rows[2].values[1..4], [Value::Null, bytes(b"\0\xffA"), bytes(b"1e-7")]);
    assert_eq!((rows[3].table, rows[3].text("TITLE")), ("badge", Ok(Some("first"))));
}

#[test]
fn what_people_write_is_read() {
    assert_eq!(
        summary(BY_HAND),
        [
            "8 account 1|ann",
            "8 account 2|bob \"the\" o'neil",
            "12 account it's|3",
            "13 account 4|dan|b",
            "15 account 5|?|?",
            "15 account 6|1|?",
            "16 account 7|fay",
            "17 badge 1|\\%\\_",
            "18 badge 2|AB",
            "18 badge 3|A",
        ]
    );
    let rows = good(BY_HAND);
    assert_eq!(*rows[2].columns, ["name", "id"]);
    assert_eq!(rows[2].text("Name"), Ok(Some("it's")));
    assert_eq!(*rows[3].columns, ["id", "name", "kind"]);
}

#[test]
fn columns_and_rows_may_come_as_two_files() {
    let mut reader = Reader::new(TABLES);
    assert_eq!(reader.rows(b"CREATE TABLE badge (id int, title text);").count(), 0);
    let row = reader
        .rows(b"INSERT INTO badge VALUES (1,'x');")
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(row.text("title"), Ok(Some("x")));
}

#[test]
fn a_column_without_text_says_why() {
    let rows = good(b"INSERT INTO badge (id, title, x) VALUES (NULL, _binary '\xff', now())");
    let row = &rows[0];
    assert_eq!(row.text("id"), Ok(None));
    assert_eq!(row.text("title"), Err(ColumnError::NotUtf8("title")));
    assert_eq!(row.text("x"), Err(ColumnError::Computed("x")));
    assert_eq!(row.text("y"), Err(ColumnError::Missing("y")));
}

#[test]
fn what_is_not_understood_is_an_error_with_its_line_and_the_rest_is_read() {
    let create = "CREATE TABLE badge (id int, title text);\n";
    for (statements, expected) in [
        (
            "INSERT INTO badge VALUES (1,'a'),(2),(3,'c');",
            vec!["2 badge 1|a", "line 2: 2 columns, but 1 values", "2 badge 3|c"],
        ),
        (
            "INSERT INTO badge VALUES (1,@x),(2,'b');",
            vec!["line 2: expected a value, found `@`", "2 badge 2|b"],
        ),
        (
            "INSERT INTO badge VALUES (1,2+3),(2,'b');",
            vec!["line 2: expected `,` or `)`, found `+`", "2 badge 2|b"],
        ),
        (
            "INSERT INTO badge VALUES (1,x'4'),\n(2,'b');",
            vec!["line 2: a binary literal with a wrong digit", "3 badge 2|b"],
        ),
        (
            // A quote that nobody escaped turns strings inside out; the next line that begins a row is plain.
            "INSERT INTO badge VALUES\n(1,'o'neil'),\n(2,'b');",
            vec!["line 3: expected `,` or `)`, found a word", "4 badge 2|b"],
        ),
        (
            "INSERT INTO badge VALUES (1,'o'neil');\nDROP TABLE x;\n  insert into badge values (2,'b');",
            vec!["line 2: expected `,` or `)`, found a word", "4 badge 2|b"],
        ),
        (
            "INSERT INTO badge VALUES (1,'a')\nINSERT INTO badge VALUES (2,'b');",
            vec!["line 2: expected `,` or `;`, found a word", "3 badge 2|b"],
        ),
        (
            "INSERT INTO badge SELECT 1, 'a';\nINSERT INTO badge VALUES (2,'b');",
            vec!["line 2: expected VALUES, found a word", "3 badge 2|b"],
        ),
        (
            "INSERT INTO account VALUES (1,'a');\nINSERT INTO badge VALUES (2,'b');",
            vec![
                "line 2: the columns are not known; the file needs the CREATE TABLE of this table, or column names in its INSERT",
                "3 badge 2|b",
            ],
        ),
        (
            "DROP TABLE x;\nUPDATE x SET y = \"z;\nINSERT INTO badge VALUES (2,'b');",
            vec!["line 3: a string that does not end", "4 badge 2|b"],
        ),
        (
            "INSERT INTO badge VALUES (1,'a'),(2,'b",
            vec!["2 badge 1|a", "line 2: a string that does not end"],
        ),
        (
            "INSERT INTO badge VALUES (1,'a'),",
            vec!["2 badge 1|a", "line 2: expected `(`, found the end of the file"],
        ),
    ] {
        let dump = format!("{create}{statements}");
        assert_eq!(summary(dump.as_bytes()), expected, "{statements}");
    }
    assert_eq!(
        read(b"\xff\xfeC\0R\0"),
        [Err(Error {
            table: None,
            line: 1,
            problem: Problem::Utf16
        })]
    );
    assert_eq!(
        read(b"CREATE TABLE badge (id int; INSERT INTO badge (id) VALUES (1)\n;insert into badge (id) values (2)"),
        [Err(Error {
            table: None,
            line: 1,
            problem: Problem::Expected {
                expected: "`,` or `)`",
                found: Found::Sign(';')
            }
        })]
    );
}

#[test]
fn errors_never_show_what_a_column_holds() {
    let dump = "INSERT INTO badge (id, title) VALUES (1,'geh'eim'),(2,0xgeheim zwei),(3,geheim 'x')";
    for line in summary(dump.as_bytes()) {
        assert!(!line.contains("eim"), "{line}");
    }
}

#[test]
fn delimiters_that_could_be_part_of_a_word() {
    let dump = "DELIMITER $$\nCREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN INSERT INTO badge (id) VALUES (1); \
                END$$\nDELIMITER ;\nINSERT INTO badge (id) VALUES (2);";
    assert_eq!(summary(dump.as_bytes()), ["4 badge 2"]);
}

/// Reads to the end, which must come.
fn survives(dump: &[u8]) {
    let mut reader = Reader::new(TABLES);
    let items = reader.rows(dump).take(dump.len() + 2).count();
    assert!(items <= dump.len() + 1, "{}", String::from_utf8_lossy(dump));
}

#[test]
fn no_damage_panics_or_goes_on_forever() {
    for dump in [MYSQLDUMP, BY_HAND] {
        for length in 0..=dump.len() {
            survives(&dump[..length]);
            survives(&dump[length..]);
        }
        let mut damaged = dump.to_vec();
        for at in 0..dump.len() {
            for byte in [
                0, b'\'', b'"', b'`', b'\\', b'(', b')', b',', b';', b'*', b'-', b'\n', b'0', b'x', 0xff,
            ] {
                damaged[at] = byte;
                survives(&damaged);
            }
            damaged[at] = dump[at];
        }
    }
}
