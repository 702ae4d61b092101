-- Each change has a random mark. After a restored backup the same numbers are given to other changes; a gateway that has
-- seen the ones before is known by the mark.
ALTER TABLE change ADD COLUMN mark BIGINT NOT NULL DEFAULT (random() * 9007199254740991)::BIGINT;
