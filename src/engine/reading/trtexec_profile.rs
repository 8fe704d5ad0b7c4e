//! `trtexec --exportProfile`.

/// A row of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRow {
    /// As the engine names the layer.
    pub name: String,
    /// Mean over the iterations, ms.
    pub mean_ms: f64,
    /// Median, ms; absent before 8.4.
    pub median_ms: Option<f64>,
}

/// Not a profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not JSON even after repair.
    #[error("not a trtexec profile: {0}; write one with --exportProfile")]
    Json(#[from] serde_json::Error),
    /// JSON of another shape.
    #[error("not a trtexec profile: element {0} has no name and no averageMs of 0 or more")]
    Shape(usize),
}

/// Reads a profile: rows in engine order, and how many iterations they stand on.
///
/// trtexec writes layer names without escaping them; a line that does not parse is read by its
/// keys, since each row has one line.
pub fn parse_profile(text: &str) -> Result<(Vec<ProfileRow>, u64), ProfileError> {
    let whole: Result<Vec<serde_json::Value>, _> = serde_json::from_str(text);
    let values = match whole {
        Ok(values) => values,
        Err(error) => by_line(text).ok_or(error)?,
    };
    let mut count = 0;
    let mut rows = Vec::new();
    for (i, value) in values.iter().enumerate() {
        if let Some(n) = value.get("count").and_then(serde_json::Value::as_u64) {
            count = n;
            continue;
        }
        let name = value.get("name").and_then(|n| n.as_str());
        let mean = value.get("averageMs").and_then(serde_json::Value::as_f64);
        let (Some(name), Some(mean_ms)) = (name, mean.filter(|ms| *ms >= 0.0)) else {
            return Err(ProfileError::Shape(i));
        };
        rows.push(ProfileRow {
            name: name.to_owned(),
            mean_ms,
            median_ms: value.get("medianMs").and_then(serde_json::Value::as_f64),
        });
    }
    Ok((rows, count))
}

fn by_line(text: &str) -> Option<Vec<serde_json::Value>> {
    let mut values = Vec::new();
    for line in text.lines() {
        let line = line.trim().trim_start_matches([',', '[']).trim();
        if line.is_empty() || line == "]" {
            continue;
        }
        if let Ok(value) = serde_json::from_str(line) {
            values.push(value);
            continue;
        }
        let rest = line.strip_prefix("{ \"name\" : \"")?;
        let (name, rest) = rest.rsplit_once("\", \"timeMs\"")?;
        let numbers: serde_json::Value =
            serde_json::from_str(&format!("{{\"timeMs\"{rest}")).ok()?;
        let mut object = numbers.as_object()?.clone();
        object.insert("name".into(), name.into());
        values.push(object.into());
    }
    (!values.is_empty()).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_count() {
        let text = r#"[
  { "count" : 869 }
, { "name" : "Reformatting CopyNode for Input Tensor 0 to /conv1/Conv", "timeMs" : 2.92, "averageMs" : 0.0033, "medianMs" : 0.0032, "percentage" : 1.5 }
, { "name" : "{ForeignNode[a...b]}", "timeMs" : 9.0, "averageMs" : 0.01, "percentage" : 3 }
]"#;
        let (rows, count) = parse_profile(text).unwrap();
        assert_eq!(count, 869);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].median_ms, Some(0.0032));
        assert_eq!(
            (rows[1].name.as_str(), rows[1].median_ms),
            ("{ForeignNode[a...b]}", None)
        );
    }

    #[test]
    fn names_that_are_not_escaped() {
        let text = "[\n  { \"count\" : 2 }\n, { \"name\" : \"a \"quoted\" \\ b\", \"timeMs\" : 1, \"averageMs\" : 0.5, \"percentage\" : 100 }\n]";
        let (rows, _) = parse_profile(text).unwrap();
        assert_eq!(rows[0].name, "a \"quoted\" \\ b");
        assert_eq!(rows[0].mean_ms, 0.5);
    }

    #[test]
    fn other_files_are_refused() {
        for bad in ["", "[", "{}", "[{\"x\":1}]", "[1,2", "garbage\nlines"] {
            assert!(parse_profile(bad).is_err(), "{bad}");
        }
    }
}
