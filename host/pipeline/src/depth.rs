//! How deep a TOML document may nest.
//!
//! A dotted key is a table for each dot, and whoever reads it calls itself once
//! for each; so does the parser for each bracket that opens, even after its own
//! bound, to tell of all that is wrong. Some thousand of either would use up
//! the stack, which ends the process.

/// Parts of a key; none of ours has more than five.
const PARTS_MAX: usize = 32;

/// Tables and arrays within each other; none of ours has more than four.
const DEPTH_MAX: usize = 64;

/// What nests too deep, and at which byte it does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Deep {
    pub(crate) at: usize,
    pub(crate) what: String,
}

/// Refuses what nests deeper than any reader wants, before it is parsed.
pub(crate) fn check(toml: &str) -> Result<(), Deep> {
    let mut parts = 1;
    // One for each kind: what closes another one closes nothing.
    let (mut tables, mut arrays) = (0_usize, 0_usize);
    let mut rest = toml;
    while let Some(first) = rest.chars().next() {
        let at = toml.len() - rest.len();
        let deep = |what| Deep { at, what };
        let passed = match first {
            '"' | '\'' => string(rest, first),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        match first {
            '.' => parts += 1,
            '{' => {
                tables += 1;
                parts = 1;
            }
            '[' => {
                arrays += 1;
                parts = 1;
            }
            '}' => tables = tables.saturating_sub(1),
            ']' => arrays = arrays.saturating_sub(1),
            '\n' | '=' | ',' => parts = 1,
            _ => {}
        }
        if tables.max(arrays) > DEPTH_MAX {
            let what = format!("more than {DEPTH_MAX} tables or arrays lie within each other");
            return Err(deep(what));
        }
        if parts > PARTS_MAX {
            let what = format!("a key has more than {PARTS_MAX} parts; name it by fewer");
            return Err(deep(what));
        }
        rest = &rest[passed..];
    }
    Ok(())
}

/// Bytes of the string at the beginning of `text`, with its quotes. One without
/// an end goes as far as it may: its reader tells of it.
fn string(text: &str, quote: char) -> usize {
    let long: String = std::iter::repeat_n(quote, 3).collect();
    let lines = text.starts_with(&long);
    let end = if lines { long.as_str() } else { &long[..1] };
    let begin = end.len();
    let mut escaped = false;
    for (place, character) in text[begin..].char_indices() {
        let at = begin + place;
        if escaped {
            escaped = false;
        } else if character == '\\' && quote == '"' {
            escaped = true;
        } else if text[at..].starts_with(end) {
            return at + end.len();
        } else if character == '\n' && !lines {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_are_counted() {
        let dots = ".".repeat(100);
        for fine in [
            format!("a = \"{dots}\""),
            format!("a = '{dots}' # {dots}"),
            format!("a = \"\"\"\n{dots}\n\\\"{dots}\"\"\""),
            format!("a = '''\n{dots}\n'''\nb.c.d = 1"),
            format!("\"{dots}\".a = 1"),
            "a.b = 1\n".repeat(100),
            "a = [0.1, 0.2, 0.3]\n".repeat(100),
            "[[a]]\nb = { c = \"{\" } # {\n".repeat(100),
        ] {
            assert_eq!(check(&fine), Ok(()), "{fine}");
        }
    }

    #[test]
    fn brackets_that_would_use_up_the_stack_are_refused() {
        for bracket in ["[", "{", "{a=", "[[a]", "{ a.b = [\n", "{]", "[}"] {
            let text = format!("a = {}", bracket.repeat(100_000));
            let refused = check(&text).expect_err("too deep");
            assert!(refused.what.contains("within each other"), "{refused:?}");
        }
    }

    #[test]
    fn a_key_that_would_use_up_the_stack_is_refused_with_its_place() {
        let deep = vec!["a"; 100_000].join(".");
        for text in [
            format!("b = 1\n{deep} = 1"),
            format!("b = 1\n[{deep}]"),
            format!("b = 1\nc = {{ {deep} = 1 }}"),
            format!("b = \"\"\"\n\"\"\"\n[[{deep}]]").replacen("b = \"\"\"\n", "b = \"\"\"", 1),
        ] {
            let refused = check(&text).expect_err("too deep");
            assert!(
                refused.what.contains("a key has more than 32 parts"),
                "{refused:?}"
            );
            assert!(refused.at > 5, "{refused:?}");
        }
    }
}
