//! Names the build: the addon and the executable beside it are compiled apart, and must be of the same sources.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=src");
    let mut hash = 0xcbf2_9ce4_8422_2325;
    add(Path::new("src"), &mut hash);
    println!("cargo::rustc-env=DAEMONIC_BUILD={}-{hash:016x}", env!("CARGO_PKG_VERSION"));
}

/// Adds all sources below a directory to a hash (FNV-1a), in the order of their names.
fn add(directory: &Path, hash: &mut u64) {
    let entries = std::fs::read_dir(directory).expect("the sources can be listed");
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add(&path, hash);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for byte in std::fs::read(&path).expect("a source can be read") {
                *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
}
