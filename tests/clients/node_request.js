// Node's `request`, as the legacy documentation calls it. One line of JSON for each answer.

const request = require("request");

const gateway = process.env.GATEWAY;
const user = process.env.USER_NAME;
const form = "application/x-www-form-urlencoded";
const basic = "Basic " + Buffer.from("demo:demo-secret").toString("base64");

function call(name, path, options) {
  return new Promise((resolve, reject) => {
    request({ method: "POST", url: gateway + path, timeout: 30000, ...options }, (error, response, body) => {
      if (error) return reject(error);
      console.log(JSON.stringify({ call: name, status: response.statusCode, body }));
      resolve(body);
    });
  });
}

async function main() {
  const login = JSON.parse(
    await call("login", "/login/oauth/token", {
      headers: { "Content-Type": form, Authorization: basic },
      form: { username: user, password: "password", grant_type: "password" },
    }),
  );
  const refreshed = JSON.parse(
    await call("refresh", "/login/oauth/token", {
      headers: { "Content-Type": form, Authorization: basic },
      form: { refresh_token: login.refresh_token, grant_type: "refresh_token" },
    }),
  );
  const bearer = "bearer " + refreshed.access_token;
  await call("call", "/demo/test2", { headers: { "Content-Type": form, Authorization: bearer } });
  await call("not permitted", "/demo/test", { headers: { "Content-Type": form, Authorization: bearer } });
  await call("no token", "/demo/test2", { headers: { "Content-Type": form } });
  await call("wrong token", "/demo/test2", {
    headers: { "Content-Type": form, Authorization: "bearer 11e.wrong.token" },
  });
  await call("wrong password", "/login/oauth/token", {
    headers: { "Content-Type": form, Authorization: basic },
    form: { username: user, password: "wrong", grant_type: "password" },
  });
  await call("logout", "/login/logout", {
    headers: {
      "Cache-Control": "no-cache",
      Authorization: bearer,
      "content-type": "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
    },
    formData: {},
  });
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
