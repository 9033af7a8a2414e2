//! The service stopped and started again: CloseTwice; everything is there afterwards, and what was half done is not.

use std::path::Path;

use tonic::Code;

use crate::bench::{Bench, DRIVERS};
use crate::mounting::mount_all;
use crate::trees::{file, list};

#[test]
fn what_was_there_is_there_after_a_stop() {
    for driver in DRIVERS {
        let mut bench = Bench::new(driver);
        bench.layer("a", "", |root| file(root, "f", "1", 0o644));
        let key = bench.work("active");
        let mounts = bench.prepare(&key, "a").unwrap();
        let mounted = mount_all(&mounts, &key);
        file(Path::new(&key), "g", "2", 0o644);
        bench.prepare("gone", "a").unwrap();
        bench.remove("gone").unwrap();
        let before = bench.list(&[]).unwrap();
        bench.stop();
        bench.start();
        assert_eq!(bench.list(&[]).unwrap(), before);
        assert_eq!(bench.layers_on_disk(), 2, "a removal is finished before the end");
        assert_eq!(bench.mounts(&key).unwrap(), mounts);
        file(Path::new(&key), "h", "3", 0o644);
        drop(mounted);
        bench.commit("b", &key).unwrap();
        let at = bench.work("seen");
        let mounted = mount_all(&bench.view("seen", "b").unwrap(), &at);
        assert_eq!(list(Path::new(&at)).len(), 3);
        drop(mounted);
        bench.stop();
        bench.start();
        bench.check();
    }
}

#[test]
fn calls_that_are_under_way_are_finished() {
    for driver in DRIVERS {
        let mut bench = Bench::new(driver);
        bench.layer("a", "", |root| {
            (0..200).for_each(|number| file(root, &format!("f{number}"), &"x".repeat(20_000), 0o644));
        });
        let (client, socket) = (bench.stat("a").unwrap().name, bench.socket());
        assert_eq!(client, "a");
        // A call in another thread, and the order to stop right after it.
        let calls: Vec<_> = (0..8)
            .map(|number| {
                let socket = socket.clone();
                std::thread::spawn(move || {
                    use plywood_snapshotter::proto::snapshots::PrepareSnapshotRequest;
                    use plywood_snapshotter::proto::snapshots::snapshots_client::SnapshotsClient;
                    tokio::runtime::Runtime::new().unwrap().block_on(async {
                        let address = format!("unix:{}", socket.display());
                        let mut client = SnapshotsClient::connect(address).await?;
                        let request = PrepareSnapshotRequest {
                            key: format!("key-{number}"),
                            parent: "a".into(),
                            ..PrepareSnapshotRequest::default()
                        };
                        let answer = client.prepare(request).await;
                        Ok::<_, tonic::transport::Error>(answer.map(|_| ()).map_err(|status| status.code()))
                    })
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(15));
        bench.stop();
        let answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        bench.start();
        for (number, answer) in answers.into_iter().enumerate() {
            let there = bench.stat(&format!("key-{number}"));
            match answer {
                Ok(Ok(())) => drop(there.unwrap()),
                // It was refused, or came when nobody listened any more: then nothing was done, or it was and will be found by a retry.
                Ok(Err(code)) => {
                    assert!(matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled), "{code:?}");
                }
                Err(_) => assert!(there.is_err()),
            }
        }
        bench.check();
    }
}

#[test]
fn a_second_service_finds_the_socket_taken() {
    let bench = Bench::new("vfs");
    let socket = plywood_snapshotter::SocketOptions { path: bench.socket(), mode: 0o600, owner: None };
    let options = plywood_snapshotter::ServeOptions { socket, metrics: None };
    let store = bench.store();
    let refused = bench.runtime.block_on(plywood_snapshotter::serve_until(store, &options, async {}));
    assert!(matches!(refused, Err(plywood_snapshotter::ServeError::Taken { .. })));
    bench.prepare("still-served", "").unwrap();
}
