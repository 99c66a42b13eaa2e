CREATE TABLE facts (name text PRIMARY KEY, value text NOT NULL);
INSERT INTO facts VALUES ('answer', '42');
