//! The demo's data, as the command lines that load it. `--if-missing` lets an interrupted load be taken up again.

/// Words after `postern-login`.
pub const LOGIN_SERVICE: &[&str] = &[
    "permission add ROLE_TEST --url /service/demo/test --id 1 --description demo服务1-1 --if-missing",
    "permission add ROLE_TEST2 --url /service/demo/test2 --id 2 --description demo服务1-2 --if-missing",
    "permission add ROLE_TEST --url /demo/test --id 3 --description demo服务1-1 --if-missing",
    "permission add ROLE_TEST2 --url /demo/test2 --id 4 --description demo服务1-2 --if-missing",
    "permission add ROLE_ADMIN --url /service/demo/admin/** --id 5 --if-missing",
    "role add tester --if-missing",
    "role grant tester 1",
    "role grant tester 3",
    "role add tester2 --if-missing",
    "role grant tester2 2",
    "role grant tester2 4",
    "role add administrator --if-missing",
    "role grant administrator 5",
    "user add u1 --password password --if-missing",
    "user grant u1 tester",
    "user add u2 --password password --if-missing",
    "user grant u2 tester",
    "user grant u2 tester2",
    "user add admin --password admin-password --if-missing",
    "user grant admin administrator",
    // The user of the legacy systems' published samples: their requests can be replayed as they stand.
    "user add ufuck --id ufuck-uid --password pfuck --if-missing",
    "user grant ufuck tester",
    "user grant ufuck tester2",
];

/// Words after `postern-auth`.
pub const AUTH_SERVER: &[&str] = &[
    "client add demo --secret demo-secret --profile spring --grants password,refresh_token --scopes all --if-missing",
    // The client of the published samples.
    "client add fuck --secret fuck --profile spring --grants password,refresh_token --scopes all --if-missing",
];
