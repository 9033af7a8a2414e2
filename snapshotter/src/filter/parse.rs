//! The grammar of filters.
//!
//! ```text
//! selectors := selector (',' selector)*
//! selector  := field ('.' field)* (operator value)?
//! field     := quoted | [A-Za-z0-9_-]+
//! operator  := '==' | '!=' | '~='
//! value     := quoted | [^ ,]+
//! ```

use regex::{Regex, RegexBuilder};

use super::quoted::unquote;
use super::{FilterError, Selector, Test};

/// More than any honest pattern takes.
const LARGEST_PATTERN_BYTES: usize = 1 << 20;

/// Reads the selectors of one filter.
pub(super) fn selectors(filter: &str) -> Result<Vec<Selector>, FilterError> {
    let mut parser = Parser { filter, rest: filter };
    let mut selectors = vec![parser.selector()?];
    loop {
        parser.skip_blanks();
        if parser.rest.is_empty() {
            return Ok(selectors);
        }
        if !parser.takes(',') {
            return Err(parser.wrong("a comma or the end is expected"));
        }
        selectors.push(parser.selector()?);
    }
}

struct Parser<'a> {
    filter: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn wrong(&self, reason: impl Into<String>) -> FilterError {
        let position = self.filter.len() - self.rest.len();
        FilterError { filter: self.filter.to_owned(), position, reason: reason.into() }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn takes(&mut self, expected: char) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes characters as long as they fit.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !fits(character)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn selector(&mut self) -> Result<Selector, FilterError> {
        let mut path = vec![self.field()?];
        while self.takes('.') {
            path.push(self.field()?);
        }
        self.skip_blanks();
        if self.rest.is_empty() || self.rest.starts_with(',') {
            return Ok(Selector { path, test: Test::Present });
        }
        let before = self.rest;
        let test = match self.run(|character| matches!(character, '=' | '!' | '~')) {
            "==" => Test::Equal(self.value("\"")?),
            "!=" => Test::NotEqual(self.value("\"")?),
            "~=" => Test::Matches(self.pattern()?),
            _ => {
                self.rest = before;
                return Err(self.wrong("one of == != ~= is expected"));
            }
        };
        Ok(Selector { path, test })
    }

    fn field(&mut self) -> Result<String, FilterError> {
        self.skip_blanks();
        if self.takes('"') {
            return self.quoted('"');
        }
        let plain = self.run(|character| character.is_ascii_alphanumeric() || matches!(character, '_' | '-'));
        if plain.is_empty() { Err(self.wrong("a field is expected")) } else { Ok(plain.to_owned()) }
    }

    /// A value, plain or between one of the quotes.
    fn value(&mut self, quotes: &str) -> Result<String, FilterError> {
        self.skip_blanks();
        if let Some(quote) = self.rest.chars().next().filter(|quote| matches!(quote, '"' | '/' | '|')) {
            if !quotes.contains(quote) {
                return Err(self.wrong("only patterns are quoted like this"));
            }
            self.takes(quote);
            return self.quoted(quote);
        }
        let plain =
            self.run(|character| character != ',' && !character.is_whitespace() && !character.is_control());
        if plain.is_empty() { Err(self.wrong("a value is expected")) } else { Ok(plain.to_owned()) }
    }

    fn quoted(&mut self, quote: char) -> Result<String, FilterError> {
        let (text, rest) = unquote(self.rest, quote).map_err(|reason| self.wrong(reason))?;
        self.rest = rest;
        Ok(text)
    }

    fn pattern(&mut self) -> Result<Regex, FilterError> {
        let pattern = self.value("\"/|")?;
        let built = RegexBuilder::new(&pattern).size_limit(LARGEST_PATTERN_BYTES).build();
        built.map_err(|error| self.wrong(error.to_string()))
    }
}
