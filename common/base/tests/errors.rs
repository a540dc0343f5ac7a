//! Checks that each error prints its cause once: no error repeats its source in its own text, and log
//! lines print the whole chain.
#![allow(clippy::unwrap_used)] // A test that cannot go on should stop here.

mod sources;

use sources::sources;

/// Returns the variants of a file whose `#[error(…)]` repeats the error that they expose as their source.
fn repeated(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("#[error(") {
        let rest = &text[start + "#[error".len()..];
        let attribute = balanced(rest);
        let item = rest.get(attribute.len() + 1..).unwrap_or_default();
        // The fields begin with the first bracket after attributes, docs and the name.
        let code: String = item.lines().filter(|line| !line.trim().starts_with("///")).collect();
        let code = code.split_once("#[error(").map_or(code.as_str(), |(before, _)| before);
        let name = code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .find(|word| word.starts_with(|c: char| c.is_uppercase()));
        let Some(name) = name else { continue };
        let fields = &code[code.find(name).unwrap() + name.len()..];
        let fields = match fields.trim_start().chars().next() {
            Some('(' | '{') => balanced(fields.trim_start()),
            _ => continue,
        };
        let exposes = ["#[source]", "#[from]", "source:"].iter().any(|mark| fields.contains(mark));
        let repeats =
            ["{source", "{0", "{error}", "(source)", ", .0"].iter().any(|form| attribute.contains(form));
        let is_tail = attribute.contains("advice(source)"); // Depends on the kind of the error, not on its text.
        if exposes && repeats && !is_tail {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn the_text_of_an_error_does_not_hold_its_source() {
    let sample =
        r#"#[error("{path}: {source}")] Read { path: String, source: Error }, #[error("x")] Fine(#[from] E)"#;
    assert_eq!(repeated(sample), ["Read"]);
    let found = sources().into_iter().filter(|(path, _)| !path.ends_with("tests/errors.rs"));
    let found = found.flat_map(|(path, text)| {
        repeated(&text).into_iter().map(move |name| format!("{}: {name}", path.display()))
    });
    assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new(), "print errors through base::ErrorChain");
}

#[test]
fn log_lines_print_errors_with_their_causes() {
    let forms = ["%error,", "%error)", "= %source,"];
    let found = sources().into_iter().filter(|(path, _)| !path.ends_with("tests/errors.rs"));
    let found = found.flat_map(|(path, text)| {
        let wrong = text.lines().enumerate().filter(|(_, line)| forms.iter().any(|form| line.contains(form)));
        wrong.map(|(at, _)| format!("{}:{}", path.display(), at + 1)).collect::<Vec<_>>()
    });
    assert_eq!(found.collect::<Vec<_>>(), Vec::<String>::new(), "write error = %base::ErrorChain(&error)");
}

/// Returns the beginning of a text that starts with a bracket, up to the bracket that closes it. Skips
/// string literals.
fn balanced(text: &str) -> &str {
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'(' | b'{' | b'[' if !in_string => depth += 1,
            b')' | b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..=at];
        }
    }
    text
}
