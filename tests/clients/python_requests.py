"""Python's requests, as the legacy documentation calls it. One line of JSON for each answer."""

import base64
import json
import os

import requests

GATEWAY = os.environ["GATEWAY"]
USER = os.environ["USER_NAME"]
FORM = "application/x-www-form-urlencoded"
BASIC = "Basic " + base64.b64encode(b"demo:demo-secret").decode()


def call(name, method, path, **arguments):
    response = requests.request(method, GATEWAY + path, timeout=30, **arguments)
    print(json.dumps({"call": name, "status": response.status_code, "body": response.text}), flush=True)
    return response


login = call(
    "login",
    "POST",
    "/login/oauth/token",
    data=f"username={USER}&password=password&grant_type=password",
    headers={"Authorization": BASIC, "Content-Type": FORM},
).json()
refreshed = call(
    "refresh",
    "POST",
    "/login/oauth/token",
    data=f"refresh_token={login['refresh_token']}&grant_type=refresh_token",
    headers={"Authorization": BASIC, "Content-Type": FORM},
).json()
bearer = "bearer " + refreshed["access_token"]
call("call", "POST", "/demo/test2", headers={"Authorization": bearer, "Content-Type": FORM})
call("not permitted", "POST", "/demo/test", headers={"Authorization": bearer, "Content-Type": FORM})
call("no token", "POST", "/demo/test2", headers={"Content-Type": FORM})
call("wrong token", "POST", "/demo/test2", headers={"Authorization": "bearer 11e.wrong.token", "Content-Type": FORM})
call(
    "wrong password",
    "POST",
    "/login/oauth/token",
    data=f"username={USER}&password=wrong&grant_type=password",
    headers={"Authorization": BASIC, "Content-Type": FORM},
)
call(
    "logout",
    "POST",
    "/login/logout",
    data="",
    headers={
        "content-type": "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        "Authorization": bearer,
        "Cache-Control": "no-cache",
    },
)
