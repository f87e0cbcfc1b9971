//! Which failure probability does an exposure still allow?

use statrs::distribution::{Beta, ContinuousCDF};

/// The one-sided 95 % upper bound of a probability after `failed` of `tried` failed
/// (Clopper-Pearson; for none it is `1 - 0.05^(1/n)`). `None` when nothing was tried.
pub fn upper_bound(failed: u64, tried: u64) -> Option<f64> {
    if tried == 0 {
        return None;
    }
    if failed >= tried {
        return Some(1.0);
    }
    if failed == 0 {
        return Some(1.0 - 0.05_f64.powf(1.0 / tried as f64));
    }
    let beta = Beta::new(failed as f64 + 1.0, (tried - failed) as f64).ok()?;
    Some(beta.inverse_cdf(0.95))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_bounds_come_out() {
        // The rule of three for none; tables of the exact binomial for others.
        let cases = [
            (0, 0, None),
            (0, 1, Some(0.95)),
            (0, 3000, Some(0.000_998)),
            (1, 10, Some(0.3942)),
            (5, 100, Some(0.1023)),
            (7, 7, Some(1.0)),
        ];
        for (failed, tried, expected) in cases {
            let got = upper_bound(failed, tried);
            match (got, expected) {
                (None, None) => {}
                (Some(got), Some(expected)) => {
                    assert!((got - expected).abs() < 5e-5, "{failed} of {tried}: {got}");
                }
                _ => panic!("{failed} of {tried}: {got:?}"),
            }
        }
    }
}
