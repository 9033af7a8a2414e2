//! Quoted texts in filters, with the escapes of Go's string literals.

/// Reads a text from after its opening quote to its end. Answers it with what follows the closing quote, or what is wrong with it.
pub(super) fn unquote(text: &str, quote: char) -> Result<(String, &str), &'static str> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    loop {
        match rest.next() {
            None | Some('\n') => return Err("the quote has no end"),
            Some(end) if end == quote => break,
            Some('\\') => escape(&mut rest, quote, &mut bytes)?,
            Some(other) => push(&mut bytes, other),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| "the escapes give no UTF-8")?;
    Ok((text, rest.as_str()))
}

fn escape(rest: &mut std::str::Chars<'_>, quote: char, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
    let escaped = rest.next().ok_or("the quote has no end")?;
    let byte = match escaped {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        'x' => u8::try_from(digits(rest, 16, 2, 0)?).map_err(|_| "the escape is no byte")?,
        '0'..='7' => {
            let first = escaped.to_digit(8).unwrap_or_default();
            u8::try_from(digits(rest, 8, 2, first)?).map_err(|_| "the escape is no byte")?
        }
        'u' | 'U' => {
            let count = if escaped == 'u' { 4 } else { 8 };
            let number = digits(rest, 16, count, 0)?;
            push(bytes, char::from_u32(number).ok_or("the escape is no character")?);
            return Ok(());
        }
        other if other == quote => {
            push(bytes, other);
            return Ok(());
        }
        _ => return Err("there is no such escape"),
    };
    bytes.push(byte);
    Ok(())
}

fn digits(rest: &mut std::str::Chars<'_>, base: u32, count: usize, first: u32) -> Result<u32, &'static str> {
    let mut number = first;
    for _ in 0..count {
        let digit = rest.next().and_then(|digit| digit.to_digit(base)).ok_or("the escape lacks digits")?;
        number = number.wrapping_mul(base) | digit;
    }
    Ok(number)
}

fn push(bytes: &mut Vec<u8>, character: char) {
    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}
