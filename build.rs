//! Compiles the TensorRT shim where TensorRT's headers are.
//!
//! The headers are looked for in `TENSORRT_INCLUDE_DIR`, then where JetPack, Debian packages and
//! the tar file put them. Without them the program is built without the shim, unless the feature
//! `tensorrt` asks for it.

use std::env;
use std::path::{Path, PathBuf};

const SHIM: &str = "src/engine/tensorrt/shim.cpp";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(dlaplan_tensorrt)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SHIM}");
    for variable in ["TENSORRT_INCLUDE_DIR", "CUDA_HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let wanted = env::var_os("CARGO_FEATURE_TENSORRT").is_some();
    match compile() {
        Ok(include) => {
            println!("cargo::rustc-cfg=dlaplan_tensorrt");
            note(&format!(
                "built with the TensorRT headers of {}",
                include.display()
            ));
        }
        Err(reason) if wanted => {
            println!("cargo::error=feature tensorrt: {reason}");
            note(&reason);
        }
        Err(reason) => note(&format!("built without TensorRT headers: {reason}")),
    }
}

/// What `dlaplan worker` says about how it was built.
fn note(text: &str) {
    println!(
        "cargo::rustc-env=DLAPLAN_TENSORRT_NOTE={}",
        text.replace('\n', " ")
    );
}

fn compile() -> Result<PathBuf, String> {
    let include = find()?;
    let cuda = [
        env::var_os("CUDA_HOME").map(PathBuf::from),
        Some("/usr/local/cuda".into()),
    ]
    .into_iter()
    .flatten()
    .map(|home| home.join("include"))
    .find(|dir| dir.join("cuda_runtime_api.h").is_file())
    .unwrap_or_else(|| Path::new("src/engine/tensorrt/cuda").to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .file(SHIM)
        // System headers: their warnings are not ours to mend.
        .flag("-isystem")
        .flag(&include)
        .flag("-isystem")
        .flag(&cuda)
        .flag_if_supported("-fvisibility=hidden")
        .flag_if_supported("-Wno-deprecated-declarations")
        .try_compile("dlaplan_tensorrt")
        .map_err(|e| format!("the shim does not compile with {}: {e}", include.display()))?;
    Ok(include)
}

fn find() -> Result<PathBuf, String> {
    let complete =
        |dir: &Path| dir.join("NvInfer.h").is_file() && dir.join("NvOnnxParser.h").is_file();
    if let Some(dir) = env::var_os("TENSORRT_INCLUDE_DIR").map(PathBuf::from) {
        return if complete(&dir) {
            Ok(dir)
        } else {
            Err(format!(
                "NvInfer.h and NvOnnxParser.h are not both in {} (TENSORRT_INCLUDE_DIR)",
                dir.display()
            ))
        };
    }
    let target = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let native = env::var("TARGET").ok() == env::var("HOST").ok();
    let mut places = vec![PathBuf::from(format!("/usr/include/{target}-linux-gnu"))];
    if native {
        places.extend(
            [
                "/usr/local/tensorrt/include",
                "/usr/src/tensorrt/include",
                "/usr/include",
            ]
            .map(PathBuf::from),
        );
    }
    match places.iter().find(|dir| complete(dir)) {
        Some(dir) => Ok(dir.clone()),
        None => Err(format!(
            "NvInfer.h and NvOnnxParser.h are not in {}; install libnvinfer-dev and \
             libnvonnxparsers-dev, or set TENSORRT_INCLUDE_DIR",
            places
                .iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}
