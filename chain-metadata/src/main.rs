//! bootstrap
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let b = std::fs::read(&a[1]).expect("read");
    let s = chain_metadata::strip::strip(&b).map_err(|e| e.to_string()).expect("strip");
    std::fs::write(&a[2], &s).expect("write");
    let m = chain_metadata::decode::decode(&s).map_err(|e| e.to_string()).expect("decode");
    for t in &m.types().types { if !t.ty.path.is_empty() { println!("{} {}", t.id, t.ty.path); } }
}
