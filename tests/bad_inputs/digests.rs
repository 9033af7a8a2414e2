//! Row 29: digests that would be file names of their own choosing.

use plywood_archive::digest::Digest;
use plywood_graphdriver::LayerId;

#[test]
fn row_29_a_digest_is_sha256_and_64_lower_case_digits() {
    let hex = "0123456789abcdef".repeat(4);
    let digest: Digest = format!("sha256:{hex}").parse().unwrap();
    assert_eq!((digest.to_string(), digest.hex()), (format!("sha256:{hex}"), hex.clone()));
    for text in [
        "sha256:../../x".to_owned(),
        format!("sha256:../../{}", &hex[6..]),
        format!("sha256:{}", hex.to_uppercase()),
        format!("SHA256:{hex}"),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha256:{hex}/.."),
        format!("sha256:{hex}\n"),
        format!(" sha256:{hex}"),
        format!("sha256:sha256:{hex}"),
        format!("sha256:{}\0", &hex[1..]),
        format!("sha256:{}é", &hex[2..]),
        format!("sha512:{hex}{hex}"),
        format!("../sha256:{hex}"),
        "sha256:".to_owned(),
        hex.clone(),
        String::new(),
    ] {
        let error = text.parse::<Digest>().unwrap_err();
        assert!(!error.to_string().is_empty(), "{text:?}");
    }
}

#[test]
fn row_29_a_layer_id_is_32_lower_case_digits() {
    let hex = "0123456789abcdef".repeat(2);
    assert_eq!(hex.parse::<LayerId>().unwrap().as_str(), hex);
    for text in [
        "",
        "..",
        "../../../../../../../../../../../x",
        &hex[1..],
        &hex.to_uppercase(),
        &format!("{hex}0"),
        &format!("{hex}/x"),
    ] {
        assert!(text.parse::<LayerId>().is_err(), "{text:?}");
    }
}
