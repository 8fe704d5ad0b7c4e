//! How much memory a build takes, at least.

/// CUDA, TensorRT and its kernels in a process, MiB; of Jetson Xavier and Orin alike, where they
/// share the memory with the GPU.
const PROCESS_MB: f64 = 1024.0;
/// Copies of the weights at the end of a build: the file, the parsed network, the engine, and the
/// serialised engine.
const COPIES: f64 = 4.0;

/// Memory that a build takes at least, MiB: the process, the copies of the weights, and a workspace
/// that was asked for. NVIDIA gives no formula; tactics take more.
pub fn build_mb(weight_bytes: u64, workspace: Option<u64>) -> f64 {
    let mb = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    PROCESS_MB + COPIES * mb(weight_bytes) + mb(workspace.unwrap_or(0))
}

/// What to say before a build that will not fit, if so.
pub fn shortage(needed_mb: f64, available_mb: Option<f64>) -> Option<String> {
    let available = available_mb.filter(|have| *have < needed_mb)?;
    Some(format!(
        "the build takes about {needed_mb:.0} MiB or more, and {available:.0} MiB of memory are \
         available: the system may kill it. Close other programs, add swap, or build with a smaller \
         workspace (--mem-pool workspace=256M)"
    ))
}

/// Why a worker was probably killed, by signal 9 and not by its client. `available_mb` is what was
/// available shortly before.
pub fn killed(available_mb: Option<f64>) -> String {
    let last = available_mb.map_or(String::new(), |mb| {
        format!(" ({mb:.0} MiB were available shortly before)")
    });
    format!(
        "probably killed by the system for memory{last}: `dmesg` tells; close other programs, add \
         swap, or build with a smaller workspace"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_said() {
        // VGG-16: 528 MiB of weights.
        let vgg = build_mb(528 << 20, None);
        assert_eq!(vgg, 1024.0 + 4.0 * 528.0);
        let text = shortage(vgg, Some(2000.0)).unwrap();
        assert!(
            text.contains("3136 MiB") && text.contains("2000 MiB"),
            "{text}"
        );
        assert_eq!(shortage(vgg, Some(4000.0)), None);
        assert_eq!(shortage(vgg, None), None, "nothing is known");
        assert_eq!(build_mb(0, Some(1 << 30)), 2048.0);
        assert!(killed(Some(12.0)).contains("12 MiB were available"));
    }
}
