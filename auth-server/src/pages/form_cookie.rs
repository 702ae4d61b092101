//! The cookie whose value our own login form repeats, so that no other site's page can log somebody in under a name that
//! is not theirs.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use subtle::ConstantTimeEq as _;

use crate::config::Mount;
use crate::{cookie, entropy};

/// The name of the cookie, and of the field of the form.
pub const NAME: &str = "login_form";

/// The cookie of a browser that is shown the form.
pub struct FormCookie {
    value: String,
    /// `None`: the browser has it already.
    set: Option<HeaderValue>,
}

impl FormCookie {
    /// The one that the browser has, or a new one.
    pub fn of(mount: &Mount, headers: &HeaderMap) -> Self {
        if let Some(known) = cookie::find(headers, NAME) {
            let value = known.to_owned();
            return Self { value, set: None };
        }
        let value = entropy::hex(&entropy::bytes::<16>());
        let set = Some(cookie::set(cookie::is_secure(mount, headers), NAME, &value, None));
        Self { value, set }
    }

    /// What the form repeats.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The page, with the cookie if the browser needs it.
    pub fn go_with(self, mut page: Response) -> Response {
        if let Some(set) = self.set {
            page.headers_mut().append(header::SET_COOKIE, set);
        }
        page
    }
}

/// Whether another site's page sent the form. A browser must repeat the cookie that came with our page. What sends neither
/// `Origin` nor `Sec-Fetch-Site` with a POST is no browser: it carries nobody's cookies, and is not asked.
pub fn is_forged(headers: &HeaderMap, repeated: Option<&str>) -> bool {
    let site = headers.get("sec-fetch-site");
    if site.is_none() && !headers.contains_key(header::ORIGIN) {
        return false;
    }
    if site.is_some_and(|site| site == "cross-site" || site == "same-site") {
        return true;
    }
    match (cookie::find(headers, NAME), repeated) {
        (Some(cookie), Some(repeated)) => !bool::from(cookie.as_bytes().ct_eq(repeated.as_bytes())),
        _ => true,
    }
}
