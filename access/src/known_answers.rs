//! One signature of each algorithm, made for this purpose by another implementation: whoever wants to be believed must
//! accept it, and must refuse it for another message and when a bit of it is turned.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::jwk::{Algorithm, Key};
use crate::signature::{Check, Native};

/// A key, and its signature over [`MESSAGE`].
pub(crate) struct KnownAnswer {
    pub(crate) algorithm: Algorithm,
    key: Jwk,
    /// Base64url.
    signature: &'static str,
}

/// The members of a JWK.
type Jwk = &'static [(&'static str, &'static str)];

const MESSAGE: &[u8] = b"eyJhbGciOiJ0ZXN0In0.eyJpc3MiOiJrbm93biBhbnN3ZXIifQ";

impl KnownAnswer {
    /// Whether a verifier accepts the signature and refuses the wrong ones.
    pub(crate) fn answered_by(&self, native: Native) -> bool {
        let Some((key, signature)) = self.read() else {
            return false;
        };
        let says = |message: &[u8], signature: &[u8]| {
            native(&Check {
                algorithm: self.algorithm,
                key: &key,
                message,
                signature,
            })
        };
        let mut turned = signature.clone();
        if let Some(byte) = turned.last_mut() {
            *byte ^= 1;
        }
        let other = MESSAGE.strip_suffix(b"Q").unwrap_or_default();
        says(MESSAGE, &signature) == Some(true)
            && says(MESSAGE, &turned) == Some(false)
            && says(other, &signature) == Some(false)
    }

    fn read(&self) -> Option<(Key, Vec<u8>)> {
        let member = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::from(*value));
        let jwk: Map<String, Value> = self.key.iter().map(member).collect();
        Some((Key::from_jwk(&jwk).ok()?, URL_SAFE_NO_PAD.decode(self.signature).ok()?))
    }

    #[cfg(test)]
    pub(crate) fn has_signature(&self, signature: &[u8]) -> bool {
        URL_SAFE_NO_PAD.decode(self.signature).is_ok_and(|own| own == signature)
    }

    #[cfg(test)]
    pub(crate) fn has_message(&self, message: &[u8]) -> bool {
        message == MESSAGE
    }
}

const SECRET: Jwk = &[
    ("kty", "oct"),
    (
        "k",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw",
    ),
];

const RSA: Jwk = &[
    ("kty", "RSA"),
    (
        "n",
        "4C2XQediRCKEdWH1Wy0rZJLEkuhIU2xRpvFhsM7iwvl8r_h7G-yFsya9ZHgTSZOX4aagNyvjAE3VDFL3XzTEuIEhPgtd6Mxwm5hGnUP3ta0km4VRXvcmWYS19DD-seR857lsumAzivQPqV7CvfGYeq9YbgdRmzAp5IGPS9uDZWfHYa5g3fUMIehw4pvKMPQBAkhr6-1q9crD3zA4vuv8QqZcIQLzEhXj8u0zyppEIyUBXRpL4GkOOP6Z1Cgih9zF5DVAaMI52XXDtP9aAPxlUktyITpnjuu2hwMam5JeNNILKBYoklx7QyIKpMvuWRv2hoCKzDbzmO5sO6gyGyJUqQ",
    ),
    ("e", "AQAB"),
];

const P256: Jwk = &[
    ("kty", "EC"),
    ("crv", "P-256"),
    ("x", "s_cYV3hp68grakKk-lGeKoGaxNpdtbj664kNF6rJtc0"),
    ("y", "EdVvl0tx5Ro-Kccw0ACHddaQxRNFhEKGS1TBsKLGjsg"),
];

const P384: Jwk = &[
    ("kty", "EC"),
    ("crv", "P-384"),
    ("x", "_GdlYsd777H3lbIPrFK4tHxMlsIBFySkmGdyT8xODmKLEs07I7DjNyVhW6gPcA7f"),
    ("y", "Ef-os41qobDgQNRhXC4UsVUJ-MDKOSSiVSqTYeAAnnfi9AILdiKwG-oE7zh45wQI"),
];

const ED25519: Jwk = &[
    ("kty", "OKP"),
    ("crv", "Ed25519"),
    ("x", "0uD0gpVa6CwhNp33MjLhhC_hELyIkf-QA3ygpzrz1PE"),
];

pub(crate) const KNOWN_ANSWERS: [KnownAnswer; 12] = [
    KnownAnswer {
        algorithm: Algorithm::HS256,
        key: SECRET,
        signature: "WenbO_Qzy3N0Pg-P5gN98tLlc39ELgsLHIZ15I4_v1s",
    },
    KnownAnswer {
        algorithm: Algorithm::HS384,
        key: SECRET,
        signature: "yy2NLV4FdSIT2S_xNAN9lR_8NZ1pLuKJKN1FHGjWQBR_CmYtb_vuGntfm-0O2GLq",
    },
    KnownAnswer {
        algorithm: Algorithm::HS512,
        key: SECRET,
        signature: "sulh5-P_-Poh_CnrgmZfGidzygK78DbTEBt7P70JlcRUJ2QTOWBGUlzf-onkSuTZ0cGaK0bXRqOl0--5lS4olQ",
    },
    KnownAnswer {
        algorithm: Algorithm::RS256,
        key: RSA,
        signature: "RdBUDHfhe-KU6QUvkFcUXvDKC4XGC3ed_hoFvXqo-jSoSRm-HunO3Owe3K_S2dR_7yvCyXfZIFX-zHv0KiHn6xjQ7r-AURJqjcMZUTh1cn9dn_xjEvJ_NCEspf_gH31xTAG7n_-3iSh95_zP_Ml_lUyMl2W_gvOCzVWP0lnGRrW1EQjEmTub1RKvaUSHswuzMF55p7xFMxGSBbAZca2IZM0hmgrmYG_1vNLj9t59-e-UftX8B96DCMaVwuzbt8NbXuLQ2bC0mGvVqMgVRxwxZnuhrdCCnA8L0l6VQsPM31XdCARnq5bZQbR5FxiHDX3U2Zq6uYm4_yYXlea54T-Fgw",
    },
    KnownAnswer {
        algorithm: Algorithm::RS384,
        key: RSA,
        signature: "0K8nYi44KQ3ybRzvhwKebe3lcgy3Omabc2H7Ky_TolNBoJM02D09FwGK5xDuRU7nxJzqSOLL0rmBgFS_2xybkKgzP4ylwseU-EHJ3wTX15vkALn3YNNu0Eeorch6I4SUx5ohtMPkUm-m6IPPAQq6La2DBRAWIaQJGAa5yUr7ALE9NA_IipR9D0ClZJB7S9we2sp3WqPnpgY04dLUp_GajkeHILVePhAJCRj1S1Woi2W5bXzO6I9rBH01NOvQTJk97W8yb9M2XFu4DROJqPqLKCZrJ3HVOMbhEiYhkqn-YqfhNBMzkFwVxdvmGtHcCFxOzYLzj87srYlb6IKpuyfepA",
    },
    KnownAnswer {
        algorithm: Algorithm::RS512,
        key: RSA,
        signature: "W1G272mXIX8WAyGZXAABk8w5n5jeaYM1wNL6ir_pJf6P3ywxx6v5xy7ydcqTrlJfu6_TxNWAueEv4DEeJodaTRHJgPwcBGiF3tBSFhJyixZ4zpkHVmxOKoj05RODHHN3oKJ-JvnzAqVCwSd7hovG6fuK5QRStJeOAcqNSL5jPERTNfJH2wGv1iv7JylylK6N1tnNnRuockgerbaQceyd4SI4F2btvRglc6N0P8WUbVxUFviHIRhYv3M9z7XF2kb5WExYKX-KbpTNhKcHUIixwhMdsHfsvbvDcnFqkelGRwLsEGq-MIHP6lCQ24-PnOjbf0vHQaqfJa-AgNqP9Rg3GA",
    },
    KnownAnswer {
        algorithm: Algorithm::PS256,
        key: RSA,
        signature: "sOhw0zuypgDZ2W4XVh4gAsSnC5iwgQm3NuiWvJKlKuou8IfPwjQFwJ9Pg8JIBdpsdaT0d6KMZwRk-p5epSUxvaeCH28aNbvsABj7m9-eUleM4TjfyHs_K7lj_4Sg7BGLf39im0qzbglpcppWGoUrN-iJgx6deG3i4Vg2BhYFrXFfhwBhtvP6V3zmGMRenoJ1ebYUAANd3p0e5d4NDXZjKt-9K5uZ8-VZapzcpSALM9WueLFmR9WqJswi8n6Tl0jOZd95ZonF8-cBYYS53ek75pR42XVNdTtBDvaAo-R3wkUlfjmX4VH8mDZzPBqxiaoFz1XKR_MuYUY_km5JqA-1pA",
    },
    KnownAnswer {
        algorithm: Algorithm::PS384,
        key: RSA,
        signature: "xpCLF5pv0Nu4tL0uuVgwYxZdAk4zC_eGc5b_dBJLcvtNIhn5ZJbB18hGehrS37q4-W97IIP5ID28j0huIwjgOe3gUiRNF82xFLUcKoIQ4BuZgMJi_OlrrUxkKYu61NJT8AcWk1e0qWFIrHYkpXpC7b5cEZ8VRwfYwBSigBjDXZoyBh-YLue9rN33xomEEqFm-eN9HTeOwcwi834zVVzDY5WREcqm5znzUSGUCExh_4cdysu_D2E-XEEuAl91TA_h7DZOOK1QYhFX35YARbH0b43fmFOg5o14e5tAvXLjek-YrU1y4PqNB_UacoCWKD1_UphRPXHvLoF6cH29TfGX9g",
    },
    KnownAnswer {
        algorithm: Algorithm::PS512,
        key: RSA,
        signature: "RBurEV36FqjO6LPE_gqiZJ9BOIB2z7ojaEuqg1EVv-kqv8u5U10NminE5-Ja7iJcGYIUSrSKcXK3vDKppdor0n6QEw0yRvXPIA1rYojzBIky0ilNLJI4X-tlrqiQm7_a15fPS2SEtK8vGiWIHbERrntUElK6LW8SLFkNVyVy6Zf7fywJlizkLJa7pOmH9YeRa2C0WR2jMhVibY5TNMEBVnc6WFLq7xKAfHDnY5fa6h8BnctcIWp9hae7UTcep7g-VuTet0zywHunX6-38dPQd5VIKkId1NCMpMQxo93Nn7i1q4k-Zr3Q7oJnYqsUzLnTJzekMpnMKtNZ_98Equl7Hg",
    },
    KnownAnswer {
        algorithm: Algorithm::ES256,
        key: P256,
        signature: "ILbeYs_65Fc3S6d4_MGmCYmbdgfkIfUV5Y9GtNP_E6lEYA4duigFDJFiF7vLA00cxeCA9paKJKb2ukHI1ujwmg",
    },
    KnownAnswer {
        algorithm: Algorithm::ES384,
        key: P384,
        signature: "_S8-ND7Nlol9TlAGNMiMlx3Jau5ySI2aAY2-ZT_tg46U5-uM0C1DjALQXHSK63mYkXwJHx4gP13ZjLgSKpLvTRB9WZ2zlcif1H-8comUDG3t-jEkI2XXMZFpvBaZ6QiY",
    },
    KnownAnswer {
        algorithm: Algorithm::EdDSA,
        key: ED25519,
        signature: "o_nRWEozKhlBC9RrNxx6BQHbDOYWdbfhnuvIgYL8NEYbLM5JF4Z6CScOqaVVaontwiASDWNG1_18c9HUsOLvAQ",
    },
];
