//! The parameters of a query string, by name, with errors that name them.

use std::borrow::Cow;
use std::str::FromStr;

use pipeline::range::Range;

use hyper::StatusCode;

use crate::http::fault::Fault;

/// No client sends a tenth; what comes after them is not looked at.
const PAIRS_MAX: usize = 1_000;

/// The first thousand parameters of a query, decoded.
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// What cannot be decoded becomes replacement characters; nothing is
    /// refused.
    pub fn new(query: &'a str) -> Self {
        Self {
            pairs: form_urlencoded::parse(query.as_bytes())
                .take(PAIRS_MAX)
                .collect(),
        }
    }

    /// The first value of the name; None if it is not there.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut named = self.pairs.iter().filter(|(key, _)| key == name);
        named.next().map(|(_, value)| value.as_ref())
    }

    /// The same, where forms send an empty one for none.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter that may come several times.
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        let named = self.pairs.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_ref())
    }

    /// The same, and a 422 with the name if it is not there.
    pub fn needed(&self, name: &str) -> Result<&str, Fault> {
        self.text(name)
            .ok_or_else(|| wrong(name, "this parameter is needed"))
    }

    /// None if it is not there; a 422 with the name if it does not fit the
    /// type.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let number = text.trim().parse();
        number
            .map(Some)
            .map_err(|_| wrong(name, format!("`{text}` is no number that fits here")))
    }

    /// A number that is one: not infinite, not NaN.
    pub fn float(&self, name: &str) -> Result<Option<f32>, Fault> {
        match self.number::<f32>(name)? {
            Some(number) if !number.is_finite() => Err(wrong(name, "it is not finite")),
            number => Ok(number),
        }
    }

    /// The same within bounds, which it may not leave by the little that `f32`
    /// rounds away.
    pub fn within(&self, name: &str, range: Range) -> Result<Option<f32>, Fault> {
        // 0.1 as it is written, not as `f32` has it.
        let exact = |bound: f32| bound.to_string().parse::<f64>().unwrap_or(f64::from(bound));
        match self.number::<f64>(name)? {
            Some(number) if !(exact(range.low)..=exact(range.high)).contains(&number) => {
                let detail = format!("it is {number}; it lies between {range}");
                Err(wrong(name, detail))
            }
            number => Ok(number.map(|number| number as f32)),
        }
    }

    /// As FastAPI reads a bool: `true`, `1`, `on`, `yes`, `t` or `y`, in
    /// whatever case, and their opposites.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" | "t" | "y" => Ok(Some(true)),
            "false" | "0" | "off" | "no" | "f" | "n" => Ok(Some(false)),
            _ => Err(wrong(name, format!("`{text}` is neither true nor false"))),
        }
    }
}

/// A parameter that cannot be taken, as FastAPI's servers tell it.
pub fn wrong(name: &str, detail: impl Into<String>) -> Fault {
    Fault::field(StatusCode::UNPROCESSABLE_ENTITY, name, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_checked() {
        let query = Query::new("text=%E9%9B%A8+a&n=1.5&bad=x&inf=inf&on=Yes&m=1&m=2");
        assert_eq!(query.text("text"), Some("雨 a"));
        assert_eq!(query.float("n").ok(), Some(Some(1.5)));
        assert_eq!(query.float("none").ok(), Some(None));
        assert_eq!(query.flag("on").ok(), Some(Some(true)));
        assert_eq!(query.all("m").collect::<Vec<_>>(), ["1", "2"]);
        for name in ["bad", "inf"] {
            let refused = query.float(name).expect_err("no number");
            assert_eq!(refused.field.as_deref(), Some(name));
        }
        assert!(query.needed("none").is_err());
        let within = |query| {
            Query::new(query)
                .within("n", pipeline::range::SILENCE)
                .is_ok()
        };
        assert!(within("n=60") && within("n=0") && within(""));
        for far in ["n=60.00000000000001", "n=-1e308", "n=NaN", "n=inf", "n=x"] {
            assert!(!within(far), "{far}");
        }
    }
}
