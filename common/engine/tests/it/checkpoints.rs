//! Checkpoints that are saved and loaded, and folders that are not valid checkpoints.

use crate::support::{batches, bits, case, change, filled, never, options, small, source, training};
use base::{
    Window,
    digest::{RunHash, StateRoot},
};
use codec::aggregate::StepNorms;
use engine::Model;
use protocol::{
    checkpoint::{MANIFEST, PROGRESS},
    history::{History, WindowRecord},
    progress::Progress,
};
use safetensors::SafeTensors;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Returns the progress at the start of window 7, after windows without votes.
fn saved() -> Progress {
    let run = RunHash([1; 32]);
    let mut history = History::new(&run);
    for window in (0..7).map(Window) {
        let state = history.state(&StateRoot([2; 32]));
        history.push_record(WindowRecord { window, state, accepted: vec![], voters: vec![] }).unwrap();
    }
    let norms = StepNorms { medians: vec![0.5; 3], references: vec![0.25; 3] };
    Progress { run, history, root: StateRoot([2; 32]), norms: Some(norms) }
}

/// Saves a checkpoint in parts of 2000 bytes, which gives several files.
fn save(model: &mut Model, folder: &Path) -> PathBuf {
    let checkpoint = folder.join("window-7");
    model.save(&checkpoint, &saved(), 2000).unwrap();
    checkpoint
}

/// Returns the error of loading a folder.
fn refuse(folder: &Path) -> String {
    base::ErrorChain(&Model::new(small(), options()).unwrap().load(folder).unwrap_err()).to_string()
}

#[test]
fn a_checkpoint_comes_back_with_all_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = filled(options());
    change(&mut model, |values| (values[0], values[1]) = (f32::from_bits(1), -0.0));
    let checkpoint = save(&mut model, folder.path());

    let spec = Model::checkpoint_spec(&checkpoint).unwrap();
    assert_eq!(spec, small());
    let mut loaded = Model::new(spec, options()).unwrap();
    let (manifest, progress) = loaded.load(&checkpoint).unwrap().unwrap();
    assert_eq!(bits(&loaded), bits(&model));
    assert_eq!(progress, saved());
    assert_eq!((manifest.window, manifest.state), (Window(7), saved().state()));
    assert!(manifest.parts.len() > 4, "{manifest:?}");
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["window-7"], "nothing is left beside it");
}

/// Returns the tensors of a folder: name to shape and bytes.
fn tensors(folder: &Path) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let parts = paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("model"));
    let mut all = BTreeMap::new();
    for path in parts.filter(|path| path.extension().unwrap() == "safetensors") {
        let bytes = fs::read(path).unwrap();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            all.insert(name, (view.shape().to_vec(), view.data().to_vec()));
        }
    }
    all
}

/// Checks that Muster saves what `transformers` saves, so that `transformers` can load it: the same
/// tensors, and the same values for all settings that both configurations contain.
#[test]
fn checkpoints_are_those_of_transformers() {
    for name in ["grouped", "tied"] {
        let theirs = case(name);
        let mut model = Model::new(Model::checkpoint_spec(&theirs).unwrap(), options()).unwrap();
        model.load(&theirs).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ours = save(&mut model, folder.path());
        assert_eq!(tensors(&ours), tensors(&theirs), "{name}");

        let config = |folder: &Path| -> BTreeMap<String, Value> {
            serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap()
        };
        let (ours, theirs) = (config(&ours), config(&theirs));
        let both = ours.iter().filter(|(key, _)| theirs.contains_key(*key));
        assert_eq!(both.clone().count(), 17, "{ours:?}");
        // Compare numbers by value: 0.00001 and 1e-05 are equal.
        both.for_each(|(key, value)| match value.as_f64() {
            Some(number) => assert_eq!(Some(number), theirs[key].as_f64(), "{name}: {key}"),
            None => assert_eq!(value, &theirs[key], "{name}: {key}"),
        });
    }
}

#[test]
fn a_checkpoint_is_never_written_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = filled(options());
    let checkpoint = save(&mut model, folder.path());
    let error = model.save(&checkpoint, &saved(), 1 << 20).unwrap_err().to_string();
    assert!(
        error
            .ends_with("window-7: a checkpoint never overwrites another; remove it or choose another folder")
    );
    let mut loaded = Model::new(small(), options()).unwrap();
    loaded.load(&checkpoint).unwrap();
}

#[test]
fn what_a_killed_process_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("window-7.partial")).unwrap();
    fs::write(folder.path().join("window-7.partial/model-00009-of-00009.safetensors"), "half").unwrap();
    let checkpoint = save(&mut filled(options()), folder.path());
    assert!(!checkpoint.join("model-00009-of-00009.safetensors").exists());
}

#[test]
fn a_changed_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = save(&mut filled(options()), folder.path());
    let part = fs::read_dir(&checkpoint).unwrap().map(|entry| entry.unwrap().path());
    let part = part.filter(|path| path.extension().unwrap() == "safetensors").min().unwrap();
    let whole = fs::read(&part).unwrap();

    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&part, flipped).unwrap();
    let name = part.file_name().unwrap().to_str().unwrap();
    let expected =
        format!("{name}: the file differs from the manifest (its hash): download the checkpoint again");
    assert!(refuse(&checkpoint).ends_with(&expected), "{}", refuse(&checkpoint));

    fs::write(&part, &whole[..whole.len() - 1]).unwrap();
    assert!(refuse(&checkpoint).contains("(its length)"), "{}", refuse(&checkpoint));

    // Without a manifest, the safetensors parser finds the error.
    fs::remove_file(checkpoint.join(MANIFEST)).unwrap();
    assert!(refuse(&checkpoint).contains("not a complete safetensors file"), "{}", refuse(&checkpoint));
    for length in [0, 4, 60] {
        fs::write(&part, &whole[..length]).unwrap();
        assert!(
            refuse(&checkpoint).contains("not a complete safetensors file"),
            "{length}: {}",
            refuse(&checkpoint)
        );
    }
    fs::remove_file(&part).unwrap();
    assert!(refuse(&checkpoint).contains(&format!("{name}: No such file")), "{}", refuse(&checkpoint));
}

#[test]
fn a_progress_of_another_window_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = filled(options());
    let checkpoint = save(&mut model, folder.path());
    let other = Progress { root: StateRoot([9; 32]), ..saved() };
    let elsewhere = folder.path().join("other");
    let manifest = model.save(&elsewhere, &other, 2000).unwrap();
    fs::copy(elsewhere.join(PROGRESS), checkpoint.join(PROGRESS)).unwrap();
    assert!(refuse(&checkpoint).contains("muster.progress: the file differs"), "{}", refuse(&checkpoint));

    // It is refused even if the manifest names it.
    let part = manifest.parts.iter().find(|part| part.file == PROGRESS).unwrap();
    edit(&checkpoint.join(MANIFEST), |manifest| {
        let parts = manifest["parts"].as_array_mut().unwrap();
        let own = parts.iter_mut().find(|part| part["file"] == PROGRESS).unwrap();
        *own = serde_json::to_value(part).unwrap();
    });
    assert!(refuse(&checkpoint).contains("its progress is of window 7, state "), "{}", refuse(&checkpoint));
}

/// Rewrites a JSON file of a checkpoint.
fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

#[test]
fn configurations_of_other_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = save(&mut filled(options()), folder.path());
    let config = checkpoint.join("config.json");
    let whole = fs::read(&config).unwrap();
    let change = |key: &str, value: Value| {
        fs::write(&config, &whole).unwrap();
        edit(&config, |config| config[key] = value);
        refuse(&checkpoint)
    };
    for (key, value, expected) in [
        ("model_type", "mistral".into(), "model_type is mistral: this engine supports llama"),
        ("hidden_act", "gelu".into(), "hidden_act is gelu: this engine supports silu"),
        ("attention_bias", true.into(), "attention_bias or mlp_bias is true"),
        ("rope_scaling", serde_json::json!({"rope_type": "llama3"}), "rope_scaling is"),
        ("rope_parameters", serde_json::json!({"rope_type": "yarn"}), "rope_type is yarn"),
        ("num_attention_heads", 3.into(), "model.heads is 3, which is not a multiple of model.kv_heads, 2"),
        (
            "vocab_size",
            41.into(),
            "model.vocab is 41, the run's is 40: this is a checkpoint of another model",
        ),
        ("rms_norm_eps", 1e-6.into(), "model.norm_eps is 0.000001, the run's is 0.00001"),
        ("hidden_size", "wide".into(), "invalid type: string"),
    ] {
        let error = change(key, value);
        assert!(error.contains("config.json: ") && error.contains(expected), "{key}: {error}");
    }
    fs::remove_file(&config).unwrap();
    assert!(refuse(&checkpoint).contains("config.json: No such file"));
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = save(&mut filled(options()), folder.path());
    fs::remove_file(checkpoint.join(MANIFEST)).unwrap();
    let index = checkpoint.join("model.safetensors.index.json");

    // One file of the index holds the last norm. Without that file, the tensor is missing.
    let listed = fs::read(&index).unwrap();
    edit(&index, |index| {
        let map = index["weight_map"].as_object_mut().unwrap();
        let gone = map["model.norm.weight"].clone();
        map.retain(|_, file| *file != gone);
    });
    assert!(refuse(&checkpoint).contains("the tensor model"), "{}", refuse(&checkpoint));
    assert!(refuse(&checkpoint).ends_with("is missing"), "{}", refuse(&checkpoint));

    fs::write(&index, &listed).unwrap();
    edit(&index, |index| index["weight_map"]["model.norm.weight"] = "../elsewhere.safetensors".into());
    assert!(
        refuse(&checkpoint)
            .ends_with("\"../elsewhere.safetensors\" is not the name of a file in the same folder")
    );

    // Try one file with a tensor of another shape, and one with a tensor of integers.
    fs::remove_file(&index).unwrap();
    let mut all = tensors(&checkpoint);
    let mut write = |shape: Vec<usize>, dtype| {
        let norm = all.get_mut("model.norm.weight").unwrap();
        norm.0.clone_from(&shape);
        let views = all.iter().map(|(name, (shape, data))| {
            let dtype = if name == "model.norm.weight" { dtype } else { safetensors::Dtype::F32 };
            (name.as_str(), safetensors::tensor::TensorView::new(dtype, shape.clone(), data).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        fs::write(checkpoint.join("model.safetensors"), bytes).unwrap();
        refuse(&checkpoint)
    };
    let error = write(vec![4, 4], safetensors::Dtype::F32);
    assert!(error.contains("the tensor model.norm.weight has shape [4, 4], the model's has [16]"), "{error}");
    let error = write(vec![16], safetensors::Dtype::I32);
    assert!(
        error.contains("the tensor model.norm.weight has type I32: only F32, BF16 and F16 can be read"),
        "{error}"
    );
}

#[test]
fn manifests_of_other_versions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = save(&mut filled(options()), folder.path());
    let manifest = checkpoint.join(MANIFEST);
    edit(&manifest, |manifest| manifest["version"] = 2.into());
    assert!(
        refuse(&checkpoint).ends_with("muster.json: version 2 of the manifest: this program knows version 1")
    );
    edit(&manifest, |manifest| {
        manifest["version"] = 1.into();
        manifest["parts"][0]["file"] = "/etc/passwd".into();
    });
    assert!(refuse(&checkpoint).ends_with("\"/etc/passwd\" is not a valid name of a checkpoint's file"));
    fs::write(&manifest, "{").unwrap();
    assert!(
        refuse(&checkpoint).contains("muster.json: the manifest cannot be read: EOF while parsing"),
        "{}",
        refuse(&checkpoint)
    );
}

#[test]
fn bf16_checkpoints_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = save(&mut filled(options()), folder.path());
    let all = tensors(&checkpoint);
    fs::remove_file(checkpoint.join(MANIFEST)).unwrap();
    fs::remove_file(checkpoint.join("model.safetensors.index.json")).unwrap();
    // The upper half of each f32 is a bf16.
    let half =
        |data: &[u8]| data.as_chunks::<4>().0.iter().flat_map(|four| [four[2], four[3]]).collect::<Vec<_>>();
    let halves: Vec<_> = all.iter().map(|(name, (shape, data))| (name, shape, half(data))).collect();
    let views = halves.iter().map(|(name, shape, data)| {
        let shape = shape.to_vec();
        (name.as_str(), safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, shape, data).unwrap())
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    fs::write(checkpoint.join("model.safetensors"), bytes).unwrap();
    let mut loaded = Model::new(small(), options()).unwrap();
    assert_eq!(loaded.load(&checkpoint).unwrap(), None);
    let expected: Vec<_> = bits(&filled(options())).into_iter().map(|bits| bits & 0xffff_0000).collect();
    assert_eq!(bits(&loaded), expected);
}

#[test]
fn a_training_goes_on_from_saved_moments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moments.safetensors");
    let mut model = filled(options());
    assert!(!model.save_moments(&path).unwrap(), "no moments exist yet");
    model.train(&training(), 0, source(&batches(4, 2)), &never()).unwrap();
    assert!(model.save_moments(&path).unwrap());
    let expected = model.train(&training(), 4, source(&batches(4, 3)), &never()).unwrap();

    let mut restarted = filled(options());
    restarted.load_moments(&path).unwrap();
    assert_eq!(restarted.train(&training(), 4, source(&batches(4, 3)), &never()).unwrap(), expected);

    let mut fresh = filled(options());
    assert_ne!(fresh.train(&training(), 4, source(&batches(4, 3)), &never()).unwrap(), expected);
}

#[test]
fn moments_of_another_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moments.safetensors");
    let mut model = filled(options());
    model.train(&training(), 0, source(&batches(4, 2)), &never()).unwrap();
    model.save_moments(&path).unwrap();

    let mut other = Model::new(protocol::model::ModelSpec { tied: true, ..small() }, options()).unwrap();
    let error = base::ErrorChain(&other.load_moments(&path).unwrap_err()).to_string();
    assert!(error.contains("the tensor adamw.first has shape"), "{error}");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = base::ErrorChain(&model.load_moments(&path).unwrap_err()).to_string();
    assert!(error.contains("not a complete safetensors file"), "{error}");
    let error = base::ErrorChain(&model.load_moments(&case("tied").join("model.safetensors")).unwrap_err())
        .to_string();
    assert!(error.ends_with("the tensor adamw.first is missing"), "{error}");
}
