//! The pages of profile `tkey` in a real browser: on a phone's width, by keyboard, without scripts.

use crate::harness::browser::{Application, Browser};
use crate::harness::tkey::*;
use crate::harness::*;

/// As long as ids may come: the page must not grow with it.
const CLIENT_ID: &str = "an_application_with_a_very_long_name_that_no_phone_can_show_in_one_line_whatever_it_does";

struct Scene {
    browser: Browser,
    server: Server,
    application: Application,
}

impl Scene {
    /// `None`: there is no browser.
    fn open() -> Option<Self> {
        let browser = Browser::start()?;
        let (server, application) = (start(), Application::start());
        server.succeed(&[
            "client",
            "add",
            CLIENT_ID,
            "--secret",
            "secret",
            "--profile",
            "tkey",
            "--scopes",
            "all",
            "--grants",
            "authorization_code,refresh_token",
            "--response-types",
            "code,token",
            "--redirect-uris",
            &application.callback,
        ]);
        let scene = Self {
            browser,
            server,
            application,
        };
        // The server learns of a new client a moment later.
        while scene
            .server
            .get(&scene.path("code"), &[])
            .body
            .contains("client_id 不存在")
        {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Some(scene)
    }

    fn path(&self, response_type: &str) -> String {
        format!(
            "/sso/oauth/authorize?response_type={response_type}&client_id={CLIENT_ID}&redirect_uri={}&state=a%20state%26more",
            self.application.callback
        )
    }

    fn authorize(&mut self, response_type: &str) {
        let url = format!("http://{}{}", self.server.address, self.path(response_type));
        self.browser.open(&url);
    }

    /// By keyboard alone: the focus is in the first field from the start.
    fn log_in(&mut self, user_name: &str, password: &str) {
        self.browser.type_text(user_name);
        self.browser.press_tab();
        self.browser.type_text(password);
        self.browser.press_enter();
    }
}

#[test]
fn a_login_without_scripts_arrives_at_the_application_and_the_next_one_skips_the_page() {
    let Some(mut scene) = Scene::open() else { return };
    scene.browser.without_scripts();
    scene.authorize("code");
    scene.log_in("u1", "password");
    let arrived = scene.application.callbacks(1).remove(0);
    let (code, state) = arrived
        .strip_prefix("/callback?code=")
        .unwrap()
        .split_once("&state=")
        .unwrap();
    assert_eq!(state, "a%20state%26more");
    let form = format!(
        "grant_type=authorization_code&code={code}&redirect_uri={}&client_id={CLIENT_ID}&client_secret=secret",
        scene.application.callback
    );
    let tokens = post(&scene.server, "/oauth/token", &form).json();
    assert_eq!(
        userinfo(&scene.server, pair(&tokens).0).json()["user_attribute"]["username"],
        "u1"
    );

    scene.authorize("code");
    let again = scene.application.callbacks(2).remove(1);
    assert!(again.starts_with("/callback?code=OC-") && again != arrived, "{again}");

    let logout = format!(
        "http://{}/sso/logout?redirect_uri={}",
        scene.server.address, scene.application.callback
    );
    scene.browser.open(&logout);
    assert_eq!(scene.application.callbacks(3)[2], "/callback");
    scene.authorize("code");
    assert_eq!(
        scene.browser.evaluate("document.forms.length"),
        1,
        "logged out: the page is there again"
    );
}

#[test]
fn a_wrong_password_is_told_and_the_user_goes_on_with_the_password() {
    let Some(mut scene) = Scene::open() else { return };
    scene.browser.without_scripts();
    scene.browser.speak("en");
    scene.authorize("code");
    scene.log_in("u1", "wrong");
    let alert = scene
        .browser
        .evaluate("document.querySelector('[role=alert]').textContent");
    assert_eq!(alert, "User name or password is wrong.");
    assert_eq!(
        scene.browser.evaluate("document.getElementById('username').value"),
        "u1"
    );
    assert_eq!(scene.browser.evaluate("document.getElementById('password').value"), "");
    assert_eq!(scene.browser.evaluate("document.activeElement.id"), "password");
    scene.browser.type_text("password");
    scene.browser.press_enter();
    assert!(scene.application.callbacks(1)[0].ends_with("&state=a%20state%26more"));
}

#[test]
fn the_token_arrives_in_the_fragment() {
    let Some(mut scene) = Scene::open() else { return };
    scene.authorize("token");
    scene.log_in("u1", "password");
    scene.application.callbacks(1);
    let address = scene.browser.address();
    let fragment = address
        .strip_prefix(&format!("{}#", scene.application.callback))
        .unwrap();
    assert!(
        fragment.starts_with("access_token=AT-") && !fragment.contains("RT-"),
        "{fragment}"
    );
}

#[test]
fn no_page_is_wider_than_a_phone_and_all_have_their_style() {
    let Some(mut scene) = Scene::open() else { return };
    for language in ["zh-CN", "en"] {
        scene.browser.speak(language);
        for (what, path) in [
            ("login", scene.path("code")),
            ("failure", scene.path("nonsense")),
            ("logout", "/sso/logout".to_owned()),
        ] {
            scene.browser.open(&format!("http://{}{path}", scene.server.address));
            let widths = scene.browser.evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.clientWidth, innerWidth].join()",
            );
            assert_eq!(widths, "375,375,375", "{what} in {language}");
            assert_eq!(scene.browser.evaluate("document.documentElement.lang"), language);
            // Without it, the card is as transparent as any element.
            let card = scene
                .browser
                .evaluate("getComputedStyle(document.querySelector('main')).backgroundColor");
            assert_eq!(card, "rgb(255, 255, 255)", "the style of {what} is refused");
        }
    }
}

#[test]
fn every_field_has_a_label_and_a_visible_focus() {
    let Some(mut scene) = Scene::open() else { return };
    scene.authorize("code");
    let unlabelled = "[...document.querySelectorAll('input:not([type=hidden])')].filter(f => !f.labels.length).length";
    assert_eq!(scene.browser.evaluate(unlabelled), 0);
    for expected in ["username", "password", "bool_is_remember_me", ""] {
        let focus = scene.browser.evaluate("document.activeElement.name");
        assert_eq!(
            focus, expected,
            "the order of the fields is that of the page; the button has no name"
        );
        let outline = scene
            .browser
            .evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)");
        assert!(outline.as_f64().unwrap() >= 2.0, "{expected}: {outline}");
        scene.browser.press_tab();
    }
}
