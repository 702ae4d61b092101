"""Python's requests-oauthlib, a session for each contract. One line of JSON for each answer, and for each error that the
library raises."""

import json
import os

from oauthlib.oauth2 import BackendApplicationClient, LegacyApplicationClient, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

GATEWAY = os.environ["GATEWAY"]
USER = os.environ["USER_NAME"]
REGISTERED = os.environ["NEW_CLIENT"]
ROBOT = os.environ["ROBOT"]


def told(name, status, body):
    print(json.dumps({"call": name, "status": status, "body": body}), flush=True)


def session(name, client):
    """A session that tells the answers from which the library takes tokens."""
    session = OAuth2Session(client=client)

    def tell(what):
        def hook(response):
            told(f"{name} {what}", response.status_code, response.text)
            return response

        return hook

    session.register_compliance_hook("access_token_response", tell("token"))
    session.register_compliance_hook("refresh_token_response", tell("refresh"))
    return session


def call(name, session, method, path, **arguments):
    response = session.request(method, GATEWAY + path, timeout=30, **arguments)
    told(name, response.status_code, response.text)


def raises(name, attempt):
    try:
        attempt()
        told(name, 200, "nothing raised")
    except OAuth2Error as error:
        told(name, error.status_code, f"{error.error}: {error.description}")


# Users by password: spring, which repeats the refresh token, and tkey, which does not.
spring = session("spring", LegacyApplicationClient(client_id="demo"))
spring.fetch_token(
    GATEWAY + "/login/oauth/token",
    username=USER,
    password="password",
    client_id="demo",
    client_secret="demo-secret",
)
call("spring call", spring, "POST", "/demo/test2")
spring.refresh_token(GATEWAY + "/login/oauth/token", auth=HTTPBasicAuth("demo", "demo-secret"))
call("spring call again", spring, "POST", "/demo/test2")
call("spring logout", spring, "POST", "/login/logout")
raises(
    "spring refused",
    lambda: session("spring refused", LegacyApplicationClient(client_id="demo")).fetch_token(
        GATEWAY + "/login/oauth/token",
        username=USER,
        password="wrong",
        client_id="demo",
        client_secret="demo-secret",
    ),
)

tkey = session("tkey", LegacyApplicationClient(client_id="test_client_id_1"))
tkey.fetch_token(
    GATEWAY + "/sso/oauth/token",
    username=USER,
    password="password",
    client_id="test_client_id_1",
    client_secret="test_client_secret_1",
)
call("tkey userinfo", tkey, "GET", "/sso/oauth/userinfo")
call("tkey call", tkey, "POST", "/demo/test2")
tkey.refresh_token(
    GATEWAY + "/sso/oauth/token", client_id="test_client_id_1", client_secret="test_client_secret_1"
)
call("tkey call again", tkey, "POST", "/demo/test2")

# Clients for themselves, by HTTP Basic and by form.
for name, path, client_id, secret in [
    ("own spring", "/login/oauth/token", ROBOT, "robot-secret"),
    ("own tkey", "/sso/oauth/token", "test_client_id_1", "test_client_secret_1"),
    ("own principal", "/authorization-server/oauth/token", "platform", "platform-secret"),
]:
    for place, include in [("basic", False), ("form", True)]:
        own = session(f"{name} {place}", BackendApplicationClient(client_id=client_id))
        own.fetch_token(
            GATEWAY + path, client_id=client_id, client_secret=secret, include_client_id=include
        )
        call(f"{name} {place} call", own, "GET", "/demo/test")
        call(f"{name} {place} not permitted", own, "GET", "/demo/test2")

# The administrator registers a client, the client gets a token, and is removed again.
admin = session("uaa", BackendApplicationClient(client_id="admin"))
admin.fetch_token(GATEWAY + "/uaa/oauth/token", client_id="admin", client_secret="secret")
call("uaa register", admin, "POST", "/uaa/register", data={"clientId": REGISTERED, "clientSecret": "acm"})
acme = session("uaa registered", BackendApplicationClient(client_id=REGISTERED))
acme.fetch_token(GATEWAY + "/uaa/oauth/token", client_id=REGISTERED, client_secret="acm")
call("uaa not permitted", acme, "GET", f"/uaa/delete/{REGISTERED}")
call("uaa delete", admin, "GET", f"/uaa/delete/{REGISTERED}")
raises(
    "uaa refused",
    lambda: session("uaa refused", BackendApplicationClient(client_id=REGISTERED)).fetch_token(
        GATEWAY + "/uaa/oauth/token", client_id=REGISTERED, client_secret="acm", include_client_id=True
    ),
)
