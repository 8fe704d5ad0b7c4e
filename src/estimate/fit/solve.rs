//! Robust damped least squares on the logarithms of a few bounded parameters with priors.
//! Deterministic: no randomness, a fixed number of steps, forward differences.

use crate::estimate::params::Spec;

/// Residual scale: relative error that counts as one standard deviation.
pub const SIGMA: f64 = 0.08;
/// Where residuals stop counting in full (in units of [`SIGMA`]): outliers pull linearly.
const HUBER: f64 = 1.5;
/// What stands for 0 under a logarithm.
const LEAST: f64 = 1e-6;
/// Enough from anywhere.
pub const STEPS: usize = 40;
const DIFFERENCE: f64 = 1e-3;

/// Minimises the robust sum of `residuals(values)` (already divided by [`SIGMA`]) plus the prior
/// terms `((ln v - ln prior) / spread)^2`, inside the specs' bounds. Starts at `start`.
pub fn fit(specs: &[Spec], start: &[f64], residuals: &dyn Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    fit_and_rest(specs, start, STEPS, residuals).0
}

/// [`fit`] in so many steps at most, and what is left of the sum.
pub fn fit_and_rest(
    specs: &[Spec],
    start: &[f64],
    steps: usize,
    residuals: &dyn Fn(&[f64]) -> Vec<f64>,
) -> (Vec<f64>, f64) {
    let n = specs.len();
    let bounds: Vec<(f64, f64)> = specs
        .iter()
        .map(|s| (s.min.max(LEAST).ln(), s.max.max(LEAST).ln()))
        .collect();
    let clamp = |x: &mut [f64]| {
        for (v, (lo, hi)) in x.iter_mut().zip(&bounds) {
            *v = v.clamp(*lo, *hi);
        }
    };
    // What cannot be above 0 is not fitted.
    let value = |(v, s): (&f64, &Spec)| if s.max > 0.0 { v.exp() } else { 0.0 };
    let values = |x: &[f64]| -> Vec<f64> { x.iter().zip(specs).map(value).collect() };
    let prior = |x: &[f64]| -> Vec<f64> {
        x.iter()
            .zip(specs)
            .map(|(v, s)| (v - s.prior.max(LEAST).ln()) / s.spread)
            .collect()
    };
    let cost = |r: &[f64], p: &[f64]| -> f64 {
        let robust: f64 = r
            .iter()
            .map(|v| {
                let a = v.abs();
                if a <= HUBER {
                    a * a
                } else {
                    HUBER * (2.0 * a - HUBER)
                }
            })
            .sum();
        robust + p.iter().map(|v| v * v).sum::<f64>()
    };
    let mut x: Vec<f64> = start.iter().map(|v| v.max(LEAST).ln()).collect();
    clamp(&mut x);
    let mut r = residuals(&values(&x));
    let mut best = cost(&r, &prior(&x));
    let mut damping = 1e-2;
    for _ in 0..steps {
        let mut jacobian: Vec<Vec<f64>> = Vec::with_capacity(n);
        for i in 0..n {
            if bounds[i].1 <= bounds[i].0 {
                jacobian.push(vec![0.0; r.len()]);
                continue;
            }
            let mut y = x.clone();
            // Away from the nearer bound, so that the step is never clipped.
            let step = if y[i] + DIFFERENCE > bounds[i].1 {
                -DIFFERENCE
            } else {
                DIFFERENCE
            };
            y[i] += step;
            let ry = residuals(&values(&y));
            jacobian.push(ry.iter().zip(&r).map(|(a, b)| (a - b) / step).collect());
        }
        let p = prior(&x);
        let weight: Vec<f64> = r
            .iter()
            .map(|v| (HUBER / v.abs().max(1e-12)).min(1.0))
            .collect();
        let mut normal = vec![vec![0.0; n]; n];
        let mut gradient = vec![0.0; n];
        for i in 0..n {
            for j in 0..n {
                normal[i][j] = jacobian[i]
                    .iter()
                    .zip(&jacobian[j])
                    .zip(&weight)
                    .map(|((a, b), w)| a * b * w)
                    .sum();
            }
            gradient[i] = jacobian[i]
                .iter()
                .zip(&r)
                .zip(&weight)
                .map(|((a, b), w)| a * b * w)
                .sum::<f64>()
                + p[i] / specs[i].spread;
            normal[i][i] += 1.0 / (specs[i].spread * specs[i].spread);
        }
        let mut improved = false;
        for _ in 0..8 {
            let mut damped = normal.clone();
            for (i, row) in damped.iter_mut().enumerate() {
                row[i] *= 1.0 + damping;
            }
            let Some(step) = solve(damped, gradient.clone()) else {
                damping *= 10.0;
                continue;
            };
            let mut y: Vec<f64> = x.iter().zip(&step).map(|(a, b)| a - b).collect();
            clamp(&mut y);
            let ry = residuals(&values(&y));
            let c = cost(&ry, &prior(&y));
            if c < best * (1.0 - 1e-9) {
                let small = best - c < best * 1e-6;
                (x, r, best) = (y, ry, c);
                damping = (damping * 0.3).max(1e-6);
                improved = !small;
                break;
            }
            damping *= 4.0;
        }
        if !improved {
            break;
        }
    }
    (values(&x), best)
}

/// Solves a symmetric positive definite system by Cholesky; `None` where it is not.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            let v = a[i][j] - sum;
            if i == j {
                if v <= 0.0 {
                    return None;
                }
                a[i][i] = v.sqrt();
            } else {
                a[i][j] = v / a[j][j];
            }
        }
    }
    for i in 0..n {
        let sum: f64 = (0..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - sum) / a[i][i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - sum) / a[i][i];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_line_is_found_despite_an_outlier() {
        let spec = |name, prior| Spec {
            name,
            prior,
            spread: 3.0,
            min: 1e-3,
            max: 1e3,
        };
        let specs = [spec("slope", 1.0), spec("offset", 1.0)];
        let rows: Vec<(f64, f64)> = (1..20)
            .map(|i| {
                let x = f64::from(i);
                (x, if i == 7 { 500.0 } else { 3.0 * x + 10.0 })
            })
            .collect();
        let found = fit(&specs, &[1.0, 1.0], &|v| {
            rows.iter()
                .map(|(x, y)| ((v[0] * x + v[1]) / y).ln() / SIGMA)
                .collect()
        });
        assert!((found[0] - 3.0).abs() < 0.05, "{found:?}");
        assert!((found[1] - 10.0).abs() < 0.3, "{found:?}");
    }
}
