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
    // Who logs in in the published requests to the legacy single sign-on.
    "user add myname --password 123456 --if-missing",
    "user grant myname tester",
    // The user of the legacy systems' published samples: their requests can be replayed as they stand.
    "user add ufuck --id ufuck-uid --password pfuck --if-missing",
    "user grant ufuck tester",
    "user grant ufuck tester2",
];

/// Words after `postern-auth`; `{service}` stands for the port of the demo service.
pub const AUTH_SERVER: &[&str] = &[
    "client add demo --secret demo-secret --profile spring --grants password,refresh_token --scopes all --if-missing",
    // The client of the published samples.
    "client add fuck --secret fuck --profile spring --grants password,refresh_token --scopes all --if-missing",
    // The last address is the demo service, which shows what it was sent; all others are those of the published requests
    // to the legacy system.
    "client add test_client_id_1 --secret test_client_secret_1 --profile tkey \
     --grants password,refresh_token,client_credentials,authorization_code --scopes all --authorities ROLE_TEST \
     --response-types code,token \
     --redirect-uris http://test1.cdk8s.com:9393/client-scribejava,\
     http://test1.cdk8s.com:9393/client-scribejava/codeCallback/\
     aHR0cDovL3Rlc3QxLmNkazhzLmNvbTo5MzkzL2NsaWVudC1zY3JpYmVqYXZhL3VzZXI_aWQ9MTIzNDU2Jm5hbWU9Y2RrOHM,\
     http://test1.cdk8s.com:9094/client-rest/codeCallback/\
     aHR0cDovL3Rlc3QxLmNkazhzLmNvbTo5MzkzL2NsaWVudC1zY3JpYmVqYXZhL3VzZXI_aWQ9MTIzNDU2Jm5hbWU9Y2RrOHM,\
     http://www.gitnavi.com,http://www.baidu.com,\
     http://127.0.0.1:{service}/demo/echo --if-missing",
    "client add admin --secret secret --profile uaa --grants client_credentials --scopes ADMIN --if-missing",
    r#"client add platform --secret platform-secret --profile principal --grants client_credentials --scopes read,write --authorities ROLE_TEST --principal {"id":1,"username":"platform","type":"1","chineseName":"开放平台","userInfoDTO":{"username":"platform","userType":"1","chineseName":"开放平台","orgId":1,"orgName":"演示机构","orgType":"1","phone":null,"email":null}} --if-missing"#,
];
