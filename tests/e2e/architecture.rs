//! The map must show the land: every path that ARCHITECTURE.md names exists.

use std::fs;

use xtask::workspace::Workspace;

#[test]
fn every_path_it_names_exists() {
    let root = Workspace::locate().expect("a workspace").root;
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md stands in the root");
    let missing: Vec<&str> = paths(&text).filter(|path| !root.join(path).exists()).collect();
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md names what does not exist: {missing:?}"
    );
    assert!(
        paths(&text).count() > 10,
        "ARCHITECTURE.md names hardly any path: is it read correctly?"
    );
}

/// What stands in backticks and looks like a path of ours: `folder/file`, without spaces or wildcards. Addresses of
/// endpoints begin with a slash.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let of_a_path = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(move |word| word.contains('/') && !word.starts_with('/') && word.chars().all(of_a_path))
}
