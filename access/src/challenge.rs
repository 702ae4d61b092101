//! What a challenge (`www-authenticate`) says beside the error: by which scheme the client may come, and where this
//! resource is described.

use crate::config::Config;
use crate::denial::{Answer, Denial, quotable};
use crate::dpop;
use crate::policy::TokenError;

/// Completes the challenge of a refusal. `dpop`: the client presented its token as a DPoP token.
pub(crate) fn complete(answer: &mut Answer, denial: &Denial, dpop: bool, config: &Config) {
    let bound = matches!(
        denial,
        Denial::BadToken {
            reason: TokenError::BoundToKey,
            ..
        }
    );
    let offered = config.dpop.is_some() && matches!(denial, Denial::NoToken);
    let mut more = Vec::new();
    for (name, value) in &mut answer.headers {
        if *name != "www-authenticate" {
            continue;
        }
        if let Some(parameters) = value.strip_prefix("Bearer")
            && (dpop || bound)
        {
            *value = format!("DPoP{parameters}");
        }
        if value.starts_with("DPoP") {
            add(value, "algs", dpop::ALGORITHMS);
        }
        let mut offer = offered.then(|| format!(r#"DPoP algs="{}""#, dpop::ALGORITHMS));
        if let Some(address) = &config.resource_metadata {
            for challenge in [Some(&mut *value), offer.as_mut()].into_iter().flatten() {
                add(challenge, "resource_metadata", &quotable(address));
            }
        }
        more.extend(offer.map(|offer| ("www-authenticate", offer)));
    }
    answer.headers.extend(more);
}

fn add(challenge: &mut String, name: &str, value: &str) {
    let separator = if challenge.contains('=') { ", " } else { " " };
    challenge.push_str(&format!(r#"{separator}{name}="{value}""#));
}
