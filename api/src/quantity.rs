//! Kubernetes quantities as integers.
//!
//! Follows k8s.io/apimachinery/pkg/api/resource: a decimal number with a binary (`Ki`), decimal (`k`, `m`) or exponent
//! (`e3`) suffix. Values round up and saturate, as `Quantity.Value()` and `MilliValue()` do.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A text that is not a quantity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a quantity: write a number with an optional suffix such as 500m, 2, 64Mi or 1e3")]
pub struct InvalidQuantity(pub String);

/// The amount in whole units, rounded up.
pub fn value(text: &str) -> Result<i64, InvalidQuantity> {
    scaled(text, 1)
}

/// The amount in thousandths, rounded up.
pub fn milli(text: &str) -> Result<i64, InvalidQuantity> {
    scaled(text, 1000)
}

/// The amount in billionths, rounded up.
pub fn nano(text: &str) -> Result<i64, InvalidQuantity> {
    scaled(text, 1_000_000_000)
}

fn scaled(text: &str, scale: i128) -> Result<i64, InvalidQuantity> {
    let invalid = || InvalidQuantity(text.chars().take(64).collect());
    // Most amounts are plain: spare them the general case.
    if scale == 1
        && let Ok(plain) = text.parse::<i64>()
    {
        return Ok(plain);
    }
    let split = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (digits, decimals) = digits(number).ok_or_else(invalid)?;
    let (multiplier, exponent) = suffix_factor(suffix).ok_or_else(invalid)?;
    Ok(combine(digits, multiplier.saturating_mul(scale), exponent - decimals))
}

/// `12.5` is 125 with one decimal.
fn digits(number: &str) -> Option<(i128, i32)> {
    let (negative, unsigned) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > 30 {
        return None;
    }
    let all = format!("{whole}{fraction}");
    if !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i128 = all.parse().ok()?;
    Some((if negative { -value } else { value }, fraction.len() as i32))
}

/// A suffix as (integer factor, power of ten).
fn suffix_factor(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            (1, exponent.parse::<i32>().ok().filter(|e| (-60..=60).contains(e))?)
        }
    })
}

fn combine(digits: i128, multiplier: i128, exponent: i32) -> i64 {
    let product = digits.saturating_mul(multiplier);
    let exact = if exponent >= 0 {
        product.saturating_mul(10i128.saturating_pow(exponent as u32))
    } else {
        let divisor = 10i128.saturating_pow(exponent.unsigned_abs());
        let (quotient, remainder) = (product / divisor, product % divisor);
        if remainder > 0 { quotient + 1 } else { quotient }
    };
    exact.clamp(i64::MIN as i128, i64::MAX as i128) as i64
}

/// A whole number of units as a quantity, in the shortest exact form: bytes as `Ki`..`Ei`, others plain.
pub fn format_value(value: i64) -> Quantity {
    for (shift, suffix) in [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
        if value != 0 && value % (1i64 << shift) == 0 {
            return Quantity(format!("{}{suffix}", value >> shift));
        }
    }
    Quantity(value.to_string())
}

/// Thousandths as a quantity: `1500` is `1500m`, `2000` is `2`.
pub fn format_milli(milli: i64) -> Quantity {
    if milli % 1000 == 0 {
        Quantity((milli / 1000).to_string())
    } else {
        Quantity(format!("{milli}m"))
    }
}

/// A resource list, as in `status.allocatable`.
pub type ResourceList = BTreeMap<String, Quantity>;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_of_the_kubernetes_documentation() {
        for (text, units, thousandths) in [
            ("0", 0, 0),
            ("100m", 1, 100),
            ("1.5", 2, 1500),
            ("0.1", 1, 100),
            (".5", 1, 500),
            ("2", 2, 2000),
            ("1Ki", 1024, 1_024_000),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("1e3", 1000, 1_000_000),
            ("12E", i64::MAX, i64::MAX),
            ("1n", 1, 1),
            ("-1", -1, -1000),
        ] {
            assert_eq!((value(text), milli(text)), (Ok(units), Ok(thousandths)), "{text}");
        }
    }

    #[test]
    fn billionths_are_what_metrics_are_told_in() {
        for (text, billionths) in [
            ("1234567n", 1_234_567),
            ("12m", 12_000_000),
            ("2", 2_000_000_000),
            ("1e30", i64::MAX),
        ] {
            assert_eq!(nano(text), Ok(billionths), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "Mi", "1 Gi", "1Gb", "--1", "1.2.3", "0x10", "1e999", "NaN", "½"] {
            assert!(value(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn formatted_values_read_back(amount in 0i64..i64::MAX / 2000) {
            prop_assert_eq!(value(&format_value(amount).0), Ok(amount));
            prop_assert_eq!(milli(&format_milli(amount).0), Ok(amount));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (value(&text), milli(&text), nano(&text));
        }
    }
}
