//! Switches that stand in the files of other programs. Only these are looked for: whether a file is right, its own program
//! says.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::Finding;
use crate::config::misread;

/// What the filter's settings in a host's configuration open.
pub fn of_gateway(file: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut settings = Vec::new();
    collect_settings(&read(file)?, &mut settings);
    if settings.is_empty() {
        bail!("{}: there are no settings of the filter in it", file.display());
    }
    let query = settings
        .iter()
        .filter_map(|settings| settings.get("token")?.get("query")?.as_str());
    let findings = query.map(|parameter| Finding {
        what: format!("{}: token.query: {parameter}", file.display()),
        why: "tokens stand in URLs, which browsers, proxies and logs keep (RFC 9700 section 4.3.2)",
        remedy: "leave token.query out when every client sends its token in a header or a cookie".into(),
    });
    Ok(findings.collect())
}

/// What the configuration of the login service opens.
pub fn of_login_service(file: &Path) -> anyhow::Result<Vec<Finding>> {
    let configuration = read(file)?;
    if configuration.get("credentials").is_none() {
        bail!("{}: it is no configuration of postern-login", file.display());
    }
    let open = configuration.get("danger_open_reserved") == Some(&Value::Bool(true));
    Ok(open
        .then(|| Finding {
            what: format!("{}: danger_open_reserved: true", file.display()),
            why: "whoever reaches the port may try passwords and read everybody's permissions (ASVS 8.2.1)",
            remedy: "set it to false when every caller sends credentials".into(),
        })
        .into_iter()
        .collect())
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    // As the gateway reads the same file.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
        let at = error.location().map(|at| format!(":{}:{}", at.line(), at.column()));
        anyhow::anyhow!(
            "{}{}: {}",
            file.display(),
            at.unwrap_or_default(),
            misread::told(&text, &error)
        )
    })
}

/// The settings of every filter, wherever they stand: as `configuration` of a plugin, in Envoy's bootstrap as a text.
fn collect_settings(value: &Value, settings: &mut Vec<Map<String, Value>>) {
    match value {
        Value::Object(object)
            if ["auth_server", "login_service", "issuers"]
                .iter()
                .any(|key| object.contains_key(*key)) =>
        {
            settings.push(object.clone());
        }
        Value::Object(object) => object.values().for_each(|value| collect_settings(value, settings)),
        Value::Array(list) => list.iter().for_each(|value| collect_settings(value, settings)),
        Value::String(text) if text.trim_start().starts_with('{') => {
            if let Ok(value) = serde_json::from_str(text) {
                collect_settings(&value, settings);
            }
        }
        _ => {}
    }
}
