//! However large a layer is, memory stays small.

use std::process::Command;

use crate::world::{World, succeed};

/// 64 MiB, in KiB as `getrusage(2)` counts.
const MOST_RESIDENT_KIB: u64 = 64 << 10;

/// A layer of one file of 4 GiB that compresses well but not absurdly, its zstd and its layout made on the fly.
const MAKE: &str = r"
import hashlib, json, os, subprocess, sys, tarfile
folder = sys.argv[1]; blobs = folder + '/blobs/sha256'; os.makedirs(blobs)
block = os.urandom(1 << 16) + bytes(15 << 16)
packed = blobs + '/packed'; plain = hashlib.sha256()
packer = subprocess.Popen(['zstd', '-q', '-1', '-T2', '-c'], stdin=subprocess.PIPE, stdout=open(packed, 'wb'))
def put(data):
    plain.update(data); packer.stdin.write(data)
info = tarfile.TarInfo('large'); info.size = 4 << 30
put(info.tobuf(tarfile.GNU_FORMAT))
for number in range((4 << 30) // len(block)): put(block)
put(bytes(1024)); packer.stdin.close(); assert packer.wait() == 0
digest = hashlib.sha256()
with open(packed, 'rb') as file:
    for data in iter(lambda: file.read(1 << 20), b''): digest.update(data)
size = os.path.getsize(packed); os.rename(packed, blobs + '/' + digest.hexdigest())
def blob(document, kind):
    data = json.dumps(document).encode(); name = hashlib.sha256(data).hexdigest()
    open(blobs + '/' + name, 'wb').write(data)
    return {'mediaType': 'application/vnd.oci.image.' + kind, 'digest': 'sha256:' + name, 'size': len(data)}
config = blob({'architecture': 'amd64', 'os': 'linux', 'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + plain.hexdigest()]}}, 'config.v1+json')
layer = {'mediaType': 'application/vnd.oci.image.layer.v1.tar+zstd', 'digest': 'sha256:' + digest.hexdigest(), 'size': size}
manifest = blob({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'config': config, 'layers': [layer]}, 'manifest.v1+json')
manifest['annotations'] = {'org.opencontainers.image.ref.name': 'large'}
json.dump({'schemaVersion': 2, 'manifests': [manifest]}, open(folder + '/index.json', 'w'))
json.dump({'imageLayoutVersion': '1.0.0'}, open(folder + '/oci-layout', 'w'))
";

/// Runs a command and prints its largest resident size in KiB.
const MEASURE: &str = "import resource, subprocess, sys\nsubprocess.check_call(sys.argv[1:], stdout=subprocess.DEVNULL)\nprint(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";

#[test]
fn a_layer_of_four_gibibytes_takes_less_than_64_mebibytes_of_memory() {
    let world = World::new();
    succeed(Command::new("python3").args(["-c", MAKE]).arg(world.path("layout")));
    let source = format!("oci:{}:large", world.path("layout").display());
    for arguments in [vec!["pull", "-q", &source, "--name", "large"], vec!["check"]] {
        let plywood = world.plywood("store", "overlay2");
        let mut measured = Command::new("python3");
        measured.args(["-c", MEASURE]).arg(plywood.get_program()).args(plywood.get_args()).args(&arguments);
        let resident_kib: u64 = succeed(&mut measured).trim().parse().unwrap();
        eprintln!("{arguments:?}: {resident_kib} KiB resident at most");
        assert!(resident_kib < MOST_RESIDENT_KIB, "{arguments:?} took {resident_kib} KiB");
    }
}
