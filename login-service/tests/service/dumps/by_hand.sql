use library;

create table if not exists sys_user (
  id int primary key auto_increment,   -- the number in tokens
  username varchar(255),
  password varchar(255),               # don't ask
  UPDATE_TIME timestamp default current_timestamp
);
-- these two have roles
INSERT INTO sys_user
  (id, username, password, UPDATE_TIME) VALUES
  (1, 'ann', 'ann-word', now()), (2, "bob", '{noop}bob-word', DEFAULT);

INSERT INTO `library`.`sys_role` (`id`, `name`) VALUES (1, 'CLERK'), (2, 'KEEPER');
INSERT INTO sys_role_user (id, user_id, role_id, UPDATE_TIME) VALUES (1, 1, 2, NULL);
INSERT INTO sys_role_user (id, user_id, role_id, UPDATE_TIME) VALUES (2, 2, 1, NULL);

INSERT INTO sys_permission (name, url, id, description) VALUES
  ('SEE_SHELF', '/shelf', 1, null),
  ('EDIT_SHELF', '/shelf/edit', 2, 'edit; the (whole) shelf');
INSERT IGNORE INTO sys_permission_role (role_id, permission_id) VALUES ('1', '1'), ('2', '1'), ('2', '2');
