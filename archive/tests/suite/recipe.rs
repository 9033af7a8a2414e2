//! Recipes: what they hold, and what becomes of damaged ones.

use std::io::{self, Cursor, Read};

use plywood_archive::digest::Measured;
use plywood_archive::recipe::{Operation, Reader, RecipeError, Writer};
use plywood_archive::tar::Segment;

use crate::fixtures::{archive, file, header, padded};
use crate::layer::{Tree, check_lossless, pack, unpack};

fn operations(recipe: &[u8]) -> Vec<Operation> {
    Reader::new(recipe).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn structure_is_gathered_and_zeros_are_counted() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for _ in 0..200 {
        writer.structure(&[1; 512]).unwrap();
    }
    writer.structure(&[0; 1000]).unwrap();
    writer.structure(&[2]).unwrap();
    let run = 5 << 20;
    writer.structure(&vec![0; run]).unwrap();
    writer.structure(&[0, 0, 3, 0]).unwrap();
    let recipe = writer.finish(None).unwrap();
    assert!(recipe.len() < 300);
    let operations = operations(&recipe);
    let Operation::Structure(second) = &operations[1] else { panic!("{:?}", operations[1]) };
    assert_eq!(second.len(), 200 * 512 - 65_536 + 1000 + 1);
    assert_eq!(operations[2..], [Operation::Zeros(run as u64 + 2), Operation::Structure(vec![3, 0])]);
}

#[test]
fn gigabytes_of_padding_cost_nothing() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..4 << 10 {
        writer.structure(&zeros).unwrap();
    }
    let recipe = writer.finish(None).unwrap();
    assert_eq!(operations(&recipe), [Operation::Zeros(4 << 30)]);
}

#[test]
fn files_of_many_ranges_are_several_operations() {
    let segments: Vec<Segment> = (0..3000).map(|index| Segment { offset: index * 10, length: 3 }).collect();
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.file(b"f", &segments).unwrap();
    writer.file(b"empty", &[Segment { offset: 0, length: 0 }]).unwrap();
    let recipe = writer.finish(None).unwrap();
    let operations = operations(&recipe);
    assert_eq!(operations.len(), 3);
    let content: Vec<u8> = (0..30_000_u32).map(|index| index.to_le_bytes()[0]).collect();
    let mut tree = Tree([(b"f".to_vec(), content.clone())].into());
    let expected: Vec<u8> =
        segments.iter().flat_map(|s| content[usize::try_from(s.offset).unwrap()..][..3].to_vec()).collect();
    assert_eq!(pack(&mut tree, &recipe).unwrap(), expected);
}

/// One path four times, with other files between, and a payload that is in no tree.
fn duplicates() -> Vec<u8> {
    archive(&[
        file(b"twice", b"first"),
        file(b"other", &[b'o'; 1000]),
        file(b"twice", &vec![b's'; 200_000]),
        file(b"not-kept", &[b'n'; 2000]),
        file(b"twice", b""),
        file(b"twice", b"last"),
    ])
}

#[test]
fn duplicates_trailing_data_and_zeros_come_back() {
    let tar = duplicates();
    check_lossless(&tar);
    check_lossless(&[tar.clone(), vec![0; 100_000], tar, b"odd".to_vec()].concat());
    check_lossless(b"");
    check_lossless(&file(b"no end marker", b"x"));
    check_lossless(&[header(b"dirty padding", b'0', 1), vec![b'p'; 512], vec![0; 1024]].concat());
    check_lossless(&[header(b"zeros", b'0', 200_000), padded(&vec![0; 200_000]), vec![0; 512]].concat());
}

#[test]
fn a_displaced_content_stands_for_all_files_before_it() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let range = |offset, length| [Segment { offset, length }];
    writer.file(b"a", &range(0, 2)).unwrap();
    writer.file(b"a", &range(1, 2)).unwrap();
    writer.displaced(b"a", 3, &mut &b"123"[..]).unwrap();
    writer.file(b"a", &range(0, 2)).unwrap();
    writer.displaced(b"a", 2, &mut &b"45"[..]).unwrap();
    writer.file(b"a", &range(0, 2)).unwrap();
    let tar = b"12234567";
    let recipe = writer.finish(Some(Measured::of(tar))).unwrap();
    let mut tree = Tree([(b"a".to_vec(), b"67".to_vec())].into());
    assert_eq!(pack(&mut tree, &recipe).unwrap(), tar);

    let mut reader = Reader::new(&recipe[..]).unwrap();
    let mut contents = Vec::new();
    while let Some(operation) = reader.next() {
        if let Operation::Displaced { length, .. } = operation.unwrap() {
            let mut content = vec![0; 10];
            let count = reader.read_content(&mut content).unwrap();
            assert_eq!((count as u64, reader.read_content(&mut content).unwrap()), (length, 0));
            contents.push(content[..count].to_vec());
        }
    }
    assert_eq!(contents, [b"123".to_vec(), b"45".to_vec()]);
    assert_eq!(reader.trailer().unwrap().operations, 6);
}

#[test]
fn a_changed_tree_is_noticed() {
    let (mut tree, recipe) = unpack(&duplicates(), 1000);
    tree.0.get_mut(&b"other"[..]).unwrap()[500] ^= 1;
    assert!(matches!(pack(&mut tree, &recipe), Err(RecipeError::Mismatch { .. })));
    tree.0.get_mut(&b"other"[..]).unwrap().truncate(900);
    assert!(matches!(pack(&mut tree, &recipe), Err(RecipeError::Tree { .. })));
    tree.0.remove(&b"other"[..]);
    let error = pack(&mut tree, &recipe).unwrap_err();
    assert!(error.to_string().contains("`other`"), "{error}");
}

#[test]
fn every_damage_to_a_recipe_is_an_error() {
    let (_, recipe) = unpack(&archive(&[file(b"a", b"one"), file(b"a", b"two")]), 1000);
    let broken = |bytes: &[u8]| match Reader::new(bytes) {
        Ok(reader) => reader.into_iter().any(|operation| operation.is_err()),
        Err(_) => true,
    };
    assert!(!broken(&recipe));
    for cut in 0..recipe.len() {
        assert!(broken(&recipe[..cut]), "cut at {cut}");
    }
    for index in 0..recipe.len() {
        let mut flipped = recipe.clone();
        flipped[index] ^= 0x10;
        // zstd ignores one bit of its frame header; nothing that is read may differ.
        assert!(broken(&flipped) || operations(&flipped) == operations(&recipe), "flip at {index}");
    }
    assert!(broken(&[&recipe[..], b"x"].concat()));
    assert!(broken(&[&recipe[..], &recipe[9..]].concat()));
    assert!(matches!(Reader::new(&b"not a recipe"[..]), Err(RecipeError::Magic)));
    let mut later = recipe.clone();
    later[8] += 1;
    assert!(matches!(Reader::new(&later[..]), Err(RecipeError::Version { found: 2, .. })));
}

/// A recipe of these raw operations, with this size and count in its trailer.
fn crafted(operations: &[u8], size_bytes: u64, count: u64) -> Vec<u8> {
    let mut plain = [operations, &[0; 34]].concat();
    plain.extend_from_slice(&size_bytes.to_le_bytes());
    plain.extend_from_slice(&count.to_le_bytes());
    let frame = zstd::bulk::compress(&plain, 3).unwrap();
    [b"\x8fPLYRCP\n\x01", &frame[..]].concat()
}

#[test]
fn operations_and_trailer_must_make_sense() {
    let result = |recipe: &[u8]| Reader::new(recipe).unwrap().collect::<Result<Vec<_>, _>>();
    let hello = b"\x01\x02hi";
    assert_eq!(result(&crafted(hello, 2, 1)).unwrap(), [Operation::Structure(b"hi".to_vec())]);
    let number = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    let (largest, beyond) = ([&number[..], &[1]].concat(), [&number[..], &[2]].concat());
    assert!(result(&crafted(&[&[2], &largest[..]].concat(), u64::MAX, 1)).is_ok());
    for recipe in [
        crafted(hello, 3, 1),
        crafted(hello, 2, 2),
        crafted(b"\x09", 0, 1),
        crafted(b"\x03\0\x01\0\x01", 1, 1),
        crafted(b"\x01\x81\x80\x04", 65_537, 1),
        crafted(&[&[2], &beyond[..]].concat(), 0, 1),
        crafted(&[&[2], &largest[..], &[2, 1]].concat(), 0, 2),
        crafted(&[b"\x03\x01f\x01", &largest[..], &[1]].concat(), 1, 1),
    ] {
        assert!(matches!(result(&recipe), Err(RecipeError::Corrupt { .. })), "{recipe:?}");
    }
}

#[test]
fn the_writer_refuses_what_cannot_be_rebuilt() {
    let writer = || Writer::new(Vec::new()).unwrap();
    assert!(writer().file(b"", &[]).is_err());
    assert!(writer().file(b"f", &[Segment { offset: u64::MAX, length: 2 }]).is_err());
    assert!(writer().displaced(b"f", 5, &mut &b"four"[..]).is_err());
    let mut short = writer();
    short.structure(b"abc").unwrap();
    assert!(short.finish(Some(Measured::of(b"abcd"))).is_err());
}

#[test]
fn a_failing_recipe_source_is_named() {
    let mut open = || -> io::Result<Box<dyn Read>> { Err(io::ErrorKind::NotFound.into()) };
    let error =
        plywood_archive::recipe::rebuild(&mut open, &mut Tree::default(), &mut Cursor::new(Vec::new()))
            .unwrap_err();
    assert!(matches!(error, RecipeError::Read { operation: 0, .. }));
}
