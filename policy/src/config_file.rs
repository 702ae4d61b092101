//! Files: a plugin configuration, alone or in a gateway.yaml, and JSON or YAML documents beside it.

use std::fs;
use std::path::Path;

use postern_access::config::Config;
use postern_access::config_text;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The plugin configuration of a file, as JSON.
pub struct PluginJson {
    pub text: String,
    /// It is the whole file, as it stands there: its lines are those of the file.
    pub verbatim: bool,
}

/// The plugin configuration of a file.
pub fn plugin_json(file: &Path, plugin: Option<&str>) -> Result<PluginJson, String> {
    let text = text(file)?;
    // Handed on as it stands: what JSON has twice must not be lost on the way.
    let document: Value = parse(file, &text)?;
    if document.get("plugins").is_none() {
        if let Some(name) = plugin {
            return Err(format!(
                "{}: no `plugins`, so there is none called `{name}`",
                file.display()
            ));
        }
        let verbatim = text.trim().is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        let text = if verbatim { text } else { document.to_string() };
        return Ok(PluginJson { text, verbatim });
    }
    let text = match plugin_of(&document, plugin).map_err(|error| format!("{}: plugins: {error}", file.display()))? {
        // As the filter gets it.
        None | Some(Value::Null) => String::new(),
        Some(Value::String(json)) => json.clone(),
        Some(configuration) => configuration.to_string(),
    };
    Ok(PluginJson { text, verbatim: false })
}

/// The same, read.
pub fn plugin_config(file: &Path, plugin: Option<&str>) -> Result<Config, String> {
    let json = plugin_json(file, plugin)?;
    config_text::read(json.text.as_bytes()).map_err(|error| {
        let line = error.line.filter(|_| json.verbatim);
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        format!("{}{line}: {error}", file.display())
    })
}

/// A JSON or YAML document.
pub fn document<T: DeserializeOwned>(file: &Path) -> Result<T, String> {
    parse(file, &text(file)?)
}

/// A file's text.
pub fn text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))
}

/// What stands in it: JSON or YAML.
pub fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, String> {
    let as_json = match serde_json::from_str(text) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    if text.trim_start().starts_with(['{', '[']) && file.extension().is_none_or(|extension| extension == "json") {
        return Err(format!("{}: {as_json}", file.display()));
    }
    // A hundred thousand rules are a configuration too; what could grow beyond the text (aliases) stays bounded.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: usize::MAX, max_events: usize::MAX },
        // As the gateway reads the same file.
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        if let serde_saphyr::Error::MultipleDocuments { location, .. } = error {
            let place = format!("{}:{}:{}", file.display(), location.line(), location.column());
            return format!("{place}: a second document begins here: leave one, without `---`");
        }
        let message = error.to_string();
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let message = message
            .replace("expected sequence start", "expected a list, as in `[ a, b ]`")
            .replace("expected mapping start", "expected keys, as in `key: value`")
            .replace("expected string scalar", "expected a single value, not a list or keys");
        format!("{}: {message}", file.display())
    })
}

/// The configuration of the plugin called so, or of the only one.
fn plugin_of<'d>(document: &'d Value, name: Option<&str>) -> Result<Option<&'d Value>, String> {
    let plugins = document
        .get("plugins")
        .and_then(Value::as_array)
        .ok_or("it is no list")?;
    let named = |plugin: &Value| {
        plugin
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let names = || plugins.iter().map(named).collect::<Vec<_>>().join(", ");
    let found = match (name, plugins.as_slice()) {
        (None, [only]) => only,
        (None, _) => return Err(format!("say which one with --plugin: {}", names())),
        (Some(name), _) => plugins
            .iter()
            .find(|plugin| named(plugin) == name)
            .ok_or_else(|| format!("none is called `{name}`; there are: {}", names()))?,
    };
    Ok(found.get("configuration"))
}
