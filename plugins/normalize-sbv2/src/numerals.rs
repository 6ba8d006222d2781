//! Numbers in kanji numerals.

use alloc::vec::Vec;

const DIGITS: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];
const IN_GROUP: [&str; 4] = ["", "十", "百", "千"];
const GROUPS: [&str; 13] = [
    "", "万", "億", "兆", "京", "垓", "秭", "穣", "溝", "澗", "正", "載", "極",
];

/// The reference cannot read numbers from 10^51 on; we read their digits.
const DIGITS_MAX: usize = 51;

/// Writes an integer and its decimals (with their point, or empty).
pub fn write(whole: &[char], decimals: &[char], out: &mut Vec<char>) {
    integer(whole, out);
    let end = decimals.iter().rposition(|c| *c != '0').unwrap_or(0);
    // A decimal part of zeros is not read at all, nor are zeros at its end.
    if end > 0 {
        out.push('点');
        out.extend(decimals[1..=end].iter().map(|c| DIGITS[value(*c)]));
    }
}

fn integer(whole: &[char], out: &mut Vec<char>) {
    let zeros = whole.iter().take_while(|c| **c == '0').count();
    let digits = &whole[zeros..];
    if digits.is_empty() {
        out.push('零');
        return;
    }
    if digits.len() > DIGITS_MAX {
        out.extend(whole.iter().map(|c| DIGITS[value(*c)]));
        return;
    }
    let groups = digits.len().div_ceil(4);
    for group in (0..groups).rev() {
        let end = digits.len() - group * 4;
        let start = end.saturating_sub(4);
        let part = &digits[start..end];
        if part.iter().all(|c| *c == '0') {
            continue;
        }
        for (place, digit) in part.iter().enumerate() {
            let power = part.len() - 1 - place;
            let digit = value(*digit);
            // 十, not 一十; but 一万, since its place is the group's own.
            if digit > 1 || (digit == 1 && power == 0) {
                out.push(DIGITS[digit]);
            }
            if digit > 0 {
                out.extend(IN_GROUP[power].chars());
            }
        }
        out.extend(GROUPS[group].chars());
    }
}

fn value(digit: char) -> usize {
    digit.to_digit(10).unwrap_or(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn read(number: &str) -> String {
        let number: Vec<char> = number.chars().collect();
        let point = number
            .iter()
            .position(|c| *c == '.')
            .unwrap_or(number.len());
        let mut out = Vec::new();
        write(&number[..point], &number[point..], &mut out);
        out.into_iter().collect()
    }

    #[test]
    fn integers() {
        assert_eq!(read("0"), "零");
        assert_eq!(read("007"), "七");
        assert_eq!(read("10"), "十");
        assert_eq!(read("111"), "百十一");
        assert_eq!(read("10000"), "一万");
        assert_eq!(read("10010000"), "千一万");
        assert_eq!(read("100000000"), "一億");
        assert_eq!(read("1000000000000000000000"), "十垓");
    }

    #[test]
    fn decimals_lose_their_last_zeros() {
        assert_eq!(read("1.50"), "一点五");
        assert_eq!(read("2.0"), "二");
        assert_eq!(read("0.05"), "零点零五");
    }

    #[test]
    fn what_is_too_large_is_read_digit_by_digit() {
        assert_eq!(read(&"1".repeat(52)), "一".repeat(52));
        assert!(read(&"1".repeat(51)).starts_with("百十一極"));
    }
}
