//! RSA signatures of the right length, made with the right key over the right message, in other forms than RFC 8017 has for
//! the algorithm (sections 8.1 and 8.2): whoever takes one of them may be made to take what nobody signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_access::jws::JwsError;

use super::Table;

pub fn rsa_signatures_in_other_forms(table: &mut Table) {
    for (algorithm, what, signature) in GOOD {
        table.passes(&token(algorithm, signature), &format!("{algorithm} {what}"));
    }
    for (algorithm, what, signature) in FORMS {
        table.refuses(
            &token(algorithm, signature),
            JwsError::Signature,
            &format!("{algorithm} {what}"),
        );
    }
}

/// What the signatures are over.
fn token(algorithm: &str, signature: &str) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","kid":"{algorithm}"}}"#);
    let claims = r#"{"iss":"https://id.example","aud":"orders","sub":"u1","exp":18000000000}"#;
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}.{claims}.{signature}")
}

/// The algorithm, what is right or wrong, and the signature.
type Form = (&'static str, &'static str, &'static str);

const GOOD: [Form; 2] = [
    (
        "RS256",
        "as it is to be",
        "FFi_qcOFDRmaBTy_S9xXRngIkbDlqKvj5Li6T7zwGfZZ84fQMMll6njkifosC9BxoTXjBHCQVqmAHkTwv-XBadS_BX8gQdzrOGYcwBPLzz1glusHIvLcrWB8Yhw5HtZh4bI-7atsDAyabfL_5sTT70hIp4CXB1juza2lTUpwWnL10KBFCbqCcu1mtLEYgV4HaxGIHDlE8g2VvYi0jknmKkETV3gxi9iQyM1HMaLGGD-Gl9CyzPi12zwRGyGkWZnR-wj8byuVKVHUDvOthxlb4DUccaQJz0NAQaodqwqFINErbYYcOeV75Sq0ZK5wIswlYUYNWmxwL7YVGYvl1_5FNA",
    ),
    (
        "PS256",
        "as it is to be",
        "A3Wg052QtvmTIY8PUe7fBhzzoshucZV2biCA0pe8hHRdacH6yqlj7P3OPA2dc6JzkKZ1ZDiy09iaMb-q0Bl8Ls4ZU2VRnA3ApRxUZXxLWUle2gk2hVJF6htrGbhyEFSfho_80uU-vF5wVj-tM6Y2U_ZLLdV9rpvtcufZJDCOH5Ap_FHeTMy_WCI2ER9ELuMUMhGkdQeRSypw5kQMwOeCy6ZGWSLQ6r-6Cmps5JAYQfFwepaSVJB7BslxnlHz9A6i4eikvOoi4D0D4MUe3MlcznddiiqLx91qx1ByblPtJfV_AZ0qBXvP8zADLjaPJr56rhE_gt40mQiNr9PaOorg_w",
    ),
];

const FORMS: [Form; 20] = [
    (
        "RS256",
        "no NULL in the DigestInfo",
        "oqys-VsdMdv4sM1B8C5IYUyNOni7AHYzH9Un3v8E-tAQpmwT__v50pir93ApGECFYBxMZCi3F6QTCg_5cQMi9Z0rqIKrg5T33BPyBEkcAS3exKAncCQmcuPzAKWbloQARJX9eyQKLs0t7_mZU2QEk92BfF67qF1le18BPpDHq6RH5GdhQme-GggO41HfULwUQ7mvR_D82WLn4ov62xrhTqRW_oA2sGyHXciuSXVqFdAuO4u66y9YfPXJj2U3fSoSGvkL12pPv7rd6XAWx1h66_pL-g4TYgd9rgu1D5H3thauecCXbtWGj7OLEudCB17t9ei_EjBju8dtZ4C1nD3U8A",
    ),
    (
        "RS256",
        "the hash alone",
        "SIPgiNZRNb0dpPUWgICN5NmnGBUAf1Uq9kboAYoC7jlkwIv3gC7E7PnHTSNZQU5a56hLjZYKNzRVQSa5pX67cZuJVLHyX9kSrlphRTk01rwoYeqLr8D8RxZTbu1CrpmW2czgr3xroK00B74M5iPMfbDZo7QPcRHssk_uK5RLf-83mOxrL3P53N2J6VapsEVFF9BcfjNM1YrD9v7h6etxC0ooqY3hW3hZZjk4i1OOWOkOwXDiygkQloeK8Ttm_j1eyfAp_1ZSqWj3rsJlpQfRrV96X_xSn7WEMWow9vQfqNlo4MreiPnQYp7bhUtXYg_8Qm1tiXwb-LB9_OfrCW5e0g",
    ),
    (
        "RS256",
        "SHA-1",
        "m_8UUsXbGfJex4TQPCSC0BtJjS0UJVK81en5CRUFF5aGy0-tYXFs8DCaOF9qshI6BOuHVAKMzbmWbtha3BRaYgQRV0DHnGFAKOJOZVTmA8w_XpTePWYd128usHO22nx5XlT5BF53-GWJIMACaMPLBzQ8BaXb013CTTSO33vjgwUUqSxT7IdtYFntAxXYJRrywthbmiqWS22cRMoiSW2QSHwqLyhNUSMMuQHbuLSkje-XVaIx_D8Fi2NsakmAw-YpUzY6OqkBOBXpk_eZxgtjLOWp_txGrkrC84RHyBdBGr5tPsPFsH9rMwaN_ZzSt9QXpksOyZUqQD-3PtUAwAhsLw",
    ),
    (
        "RS256",
        "SHA-256 by the name of SHA-512",
        "aXdMmYX11M-6__d02ePlOLBVEb-paQH1LxsmqmAQ9qTlSS-6fHPWKoopNkeOL4936e6US12jz7ObBsciYRRbObzOIDIBQfM8gusxgqg9tbsaD3vvguB7_wbtFZeKb7KaBu1Wg7bE2ogetirDgki3BNIw3GjDC0aYTMewkg3-pToyKXAGHwa9m6LbGLEbX9MHYeWK1MTP_LqMTnaHshFI8RTZaD158bQRiMYjUVuIozqDieJFNchuJ-WaKXtodt8_o4rIjelFNKr1xWzb3qJ5-R7FvGaNInaWN8w1JZKu4LdOZVu13i2PKUqhxXzHEEv85eD6H6LhxQR8bVNv45ws2Q",
    ),
    (
        "RS256",
        "eight bytes of padding, then something behind",
        "h-A7TSu1XY8dGjxX5xJ87S77VXH6yUSBm3PH1pM2RBjx1V10W8Vpz25jYwHgOMGxzf7TRzwAJ31I6ab4Zrsh4qJ8W6lEvo7gVfyukuy0uWma1f59W9V9-rMgVV_pH31IAUhjaYEM_I7pRMWsuWkIPYddZwdupkYHQ1P4HuGaNb51OCUJGBQxXjkMbiMtWBG3fTreG8z3KmIRSXosjMgrPxCI-7gU1ahr0U9nzOEyvha6vetYcHgii4IlLBcgC_vdorOEIp2jq3cF7d-74_b1HShlZmlz88coLj_3vIL5qDEqJoIW-0oif0-rIk3Y7R9EDrSdJOlT9N6mSvyYt351-w",
    ),
    (
        "RS256",
        "padding of type 2",
        "p1jhsH-X-Y5kYa6WzJ8qSjfDOSyIEKx0t7k0JPL4WrO0Y5QleSbinuUxtZuyM10emsWVJ482cDUdBSZnSnk5RZP6frXjURrTrxEYeNaTojzEuekjm7-_saRrlmABAm9f_AEgHjy2vArV40ATlBLzHXb3BsXxNPsPNHLV2Ms5ISFelgqEPDvLSfDtVxk0y_e03dgZBi_cqhN_geH01GLAcjc7Ri-ZpW7CFnvCRCfrMrnCQoldLQDxqptaJE7aY9HnHEbGFKbeRJjhbES_ZiNLxXpBEpxWsxGfAanrU90-TxJ2hOS4r349zdYjzRI2WLFBWJ4upl2PvqrmEjMFvBSJ-Q",
    ),
    (
        "RS256",
        "padding of type 0",
        "A9Xh4ZxFwVpinIOa0z0EpeQRtrpP0ShBJpO2exeAAOMoF6Nih5KCUXu4Xeo25vgYNHrhN7L_huZfFn9hkG3baTexqyHuAe6CRvHS5ErBavC3fnaaiQiQCmD4p2sAKtRWmhZf2P71AbMFLbEeYDeErECOFAeqD9A9GD-G_yjTeC9ZnQqsMYzSejXa6riNKNWLDPATk37wBt-h22jsizcDvOP3GVeomX33CM3uUTIUYI82UH3Fv6Cws3x5ep1jcIH0XXZ5sfhHTnXzuFcAzLU_SrKurQEmFe5E8f4_Gxkm5JiOmRzri-cP9cDCEUPpFQsPekbeMTu48yCBOYzeGbBlJg",
    ),
    (
        "RS256",
        "one other byte in the padding",
        "Vk6aW19-rbgkEDmZuCHeywGjii0mTZjQphiP5b4kudji8niA7eJ2KLyvFETLmTUQreZFXiuzZ821iwf329c07NFSTQ6x7iH3xs2aaHZDG3AvUwni41h3vIkGDopZ2Wz83SB7ek3IdvBB_jq7dEHiC4nlHYBrLeMjVB9qRBbrLuc1WKvWsLlvauiaxXzfZvQwUQ766UTLmxr2aoPcdNGy7UodPMUs6Q7bK5omG9YEsWMOb3u9ue-cyNOHTGuvj9ruW670IfimOpkvQSNl99vHb9ML9u0lug3uId3oZJvfcArd0jp81vopctntXDCE5CD95dH7NJiaE-0cjM7LoZLP3Q",
    ),
    (
        "RS256",
        "a longer length in the DigestInfo",
        "erA1mjH6o-iZJDrHqQmCsQmdEsdh-dCv9wXqzhNpTvOBEcDD4aHK1pWPAPJQtouMRjrDa_JqCvXcx2sBrGHvGi6UAF-7-HCyu2mBe7bb9jF8WZxvXBwilKp-mDuUWstfcPdzVbbK4U4ixuPedydpfW1oNTxTbb3OyU4xkQSMxF3mU1KZg4yMUgle25ozic1sWhdHW6q9rDIOrmc4ZjRSi18TZG0hieDzW49PN0KMbgFphvRTwl5lM-Q0OO-lAPcywyykshow9JJJZkX9GuyykmSJiCmzCyWYWmN2yfsghyt91dh4WLwkeY640V9MjksGTPP_0ExLKKogsw1BN6HZPA",
    ),
    (
        "PS256",
        "a salt of 0 bytes",
        "v19of6LXiH3gfJ9i2aA6d-5WfaKz-SwYvyWHeqzbvPQPfmLn2MFBWuuA0SqWDGcRSwmz4TxUD6T3Xt-_qOazSvoajTCV91ze_ukTIS0eyohtSbqU03AIbnhmejgroYKEalgBxv4unyO7ig_1h_M4I_nIM90YsUtXnC_jmfWtOVYkHtZBl-jaFzSCjzUHa0-tgaDa-frGbSLw0fcPcWE72i5TTZwH28jcyAs2na6EChRDo5-ETZ2a4xCxziZmW4ILzzl6wfjq8q4V01DV1Ff0ojK8S1cmgIQvK4C7voIeNUCESNYx0RWLWxunboxLzsjfMSG-TxkaF5F5ZzRkm0x4HQ",
    ),
    (
        "PS256",
        "a salt of 20 bytes",
        "NbIdjsP7Ju_0RmEq77regbWu7AX_Afeh0UE8fodAjAADNujoDr6n9PL4VELNpk-yAqH82cUm8U4mAEUdwX-GIUNHsEF0hXwkRSYZgU74bFo6ZtA5GyPSSsRDI_m511kN46A0nLePJ0lYoJ_skC1G7mLAscpBT1gzanWpYy_RqIFsun5g2pLeutohq7aizFEBeM0Hnbw1zpRPRCMdY3_IDTZdl7hNFepbaPUPXi78_gpqvCuzS03LitXGqhlSFKPnmg8Rssq2gJI1JC626CdxrpNCwB3Gi9m5KqEMOY27GJoYPbxtXyX4STpWoRa5VK0mWb9Yvfikm7FZ__78RZxtRg",
    ),
    (
        "PS256",
        "a salt of 31 bytes",
        "tpkWuB_Ps3nCk3m5LTdADx0-GW4Y-GwLpRY4QS89mINsOx6uE7nj5cQ_VzKRLwJoGQIDfS10VFM7yLXC0TNVZLOsAjXJsF_NpUpX0Mh6EVbOrq8GyGobXzbhQ9T7HcfFUvfgYofO6Va-oNybq90rWSCv_Fw3VG84tu_nwIAqpDPmPapRctm9IeXZjVz_7woyt907w80wRtvUbNmTgTzSA3a1o_et17A8yts3ppPL2D5c5smF6zQhIUjtWGyoLxlA3Txy_pmCpRdtwpFFh0Fpggm043fozFO_ueCJyHIiEpIhCAGEk64JIdNLLUSr4kzQDXc9Sak1eGPPIhjtxdq5bw",
    ),
    (
        "PS256",
        "a salt of 33 bytes",
        "qOQYMg8C7pul9WIrn1d_di9OmaEYDG89_cOHE3LCXUtZrvviyjlGZ8YPlIRfPNTKSO7zIyA_rGr3KV6ai4hh1zSsX3igmd5TEa8ppbgWBxwiKT0MKN36j-TmUppjnMBzsYYfLqzS2JzGyo4oRsXWWphNfNzSQ4D5gw5p12qs25m5NG5swErhHa49JAaOwE-9HQwOLxzthOBT85j6eOoH0tcAzRwzvx68mLoUonXN6ToDlzWmuPN2736qPNt6OeTrZpG21Q7_ErV_kQpBN7ZOKqGr_bbwAO3BmtLWAareg7PZV-GKpusfGIajokDkE-TCQg-goHzJUjSYIwYi87jxFw",
    ),
    (
        "PS256",
        "a salt of 222 bytes",
        "wA-9txkK2FtHOb-tOMlU4mUDjndmrLM-GbEpRccok9qX647civ9Iqn3Y-gF7nE8E8jNEAdCULsP_FH7eJZJSWgj5sDL9vBoyeVBPEMaOl_dv9ghu8pw0Gx3dDinkoAvk1PzHF_4zYYwuVQybeMQG8pgeT_B0JTxy5AWJj_AQnuxWOYqOzJuHDCd1lQICVlllIDXc8pdXHnb3bV4Q_8xwmJciWU3Jwbtglj0KCU0osqUckNGpqqoeVgxdxo3faqFAbjO1e40c-ASqL29gpFhkMYNXFF5u45rOl00PcvMfgAu6amP_Ucf97Wsbsg-MFCiYV4BULuq5ZO4eVdQCIMtYfA",
    ),
    (
        "PS256",
        "a mask of SHA-1",
        "PBrssXBzPLxs9DaUAUatl2UuTcTZAl_ydFyeBGBDF9xNLmM60iI4rEe25nOABO6n0Eqmawob82GX38xnsMBh6_iPV938jI9vYAHT0CD_agE8S-25IopQVFOVVczwU1N_MzSqESCsKxnJoQ3z9zxR0Btl-mle4sczDyNDU42UEkWFjqpEIes_pj6cwLA74ASAjCEuF4skf1Bsismf_dMESGvJXYqBoVKfW-zW0jhB77WsAc_P8D4hPrx_tbe6N4EbWQKYW5CkT8JASrXAmBJLKfLG73lPja4cqXSoGjPVWWrsCwz8FK8uJ05JimSJcNIPSc4BHT19tnaq9l1wshjhsA",
    ),
    (
        "PS256",
        "another last byte",
        "ug6fuEaJmGXxf4wNjDXNWgG2G8Xw0VvRf-rA1SrDdcOh925MlU_9MQpaTeo1YLyA6XWFDcDGHlN_Kx43K7Ie0FUO1DZv8rvmzMVcAPToyErKNgNIlyfgT9AFTyeZEB4tC-V8TMFewM3zuIhpyh_nUh2Y8IDtcRXnsID4LSkpsLVp6zJerc2DXIUlVbW9xTqrMbKTNUg_AA2KTtMXk4pQLdL2uaWzyZPEuq353AMV8tAP4xlR2rVa-XptFUbEdNcq_a3_8xAkVp5yqNhLGbUrgN0GGEFjUkG3FBViqpzJG0AaDro13sw5UXjwoTgwYkq4BQ6c2LDVSM0w81JtmX5Qhg",
    ),
    (
        "PS256",
        "PKCS #1 v1.5",
        "YpdOVbViTCHXzKMQ6n2MYVNIFwL5RT6LvfAse3s-mJWKpNCSAUoXgo6SEBvZv1aA8XUZA0Fb7OZNKZhJlmVIZ2kwVzrhlZRWYCWqARCitbVDJEnmLjo51MPkUM2U2jIPpTukVFETDypnfmypNwS1BbRQxBvrkov4zV27VoPlMOG4V2ZYIySBQmMjMFt4aOv5C9JaCuxFqY5TrRtfSziDB9hHQn-gLznhdCKWXHJmoZmPXETlO5990fKTRdDiVVrjzQH5Lz1KUTcwkc28JEsft_ylFYnkgGhZauwD4XEeYd4KN6qIb0zvUKpYTMtOBg-wFh1pyPrWtEK7uz2oZZKYPg",
    ),
    (
        "RS256",
        "PSS",
        "CD7Smr13k-Jpgwj4KVCO4XuwtEWHNlrbzvF965ZvQOzN-0F8h_TsEfjYv-rfCFo7XJ8E1RdQFA-a_Qk_ZzCUmZ4IdL8uzkjIeTdQYQcO_5b-q3Wk2HBcYuimrqknfDyjQcAGUz4W594tC_z6bgXG-ZxFw9hrWr5fm80TvjGjY8SMbz7ibz0DnrHh-VNSiGTFgurjSfiqRpWCTGQBEreLOJJ2pdFNI-HnuGfikfsd9nVQqOJTC3WmoR2jE-IqT70f0LKGxRm0ZDoganB0Wfd5Vaer-6NkDtC47qx3yxkqQfPdgv-TMYqRmmj0nUCkXi4mo-Otzk0gZRuyb3pbIwtwkw",
    ),
    (
        "RS256",
        "plus the modulus",
        "11VAnXjrMWo96Dqa6R395UE_JN2cjAfl6EuDYfyta3k3UGKyObb4lRZX7JbxUnrj-5LwJ1h2rqSqVhowah3IO0R9mMFCF2BvY9zbeTAgOUjw_wkJ2lDx2oIxICnL34hmyI4qp-kGbyDL7Zd6297pDVzcSlwA6YE9q_qdZ9CC9ftpxn7yqq7_DE6_-0Rw6kEusrq3lPKoH62uYQvtfz7IoskthR3HdiJeCWVPVA_jiPZ3O1M6Ngpj_MhXuctTMpTJn378tYrLg8p_DXDmSJzMHSDXvj1dv_jRT0hX4hTOwl7W7xufdHz0GCsQmej8zkyXEEBk0uv22Vktvl9jdMQaWw",
    ),
    (
        "PS256",
        "plus the modulus",
        "xnIhx1L220o3BIzq7zCFpOYqNfUlVPF4cbNJ5Nd51fc6xpzc05b2l5tBnqpiukzl6wOChyCZK9PEaZTqelGDAD3X5qdzcZFE0JMTHpifw1TvQic5PLBbFz0f18YE0QakbWvojSLZH3Kh1eQoKMBLcgre0LDnkMQ8UTTRPraguxid8jCL7cE78YOPV7Kcl8Y7ebrT7cD0eMqJicdFsdxlRC5ghshm1QmHSwJ1Bv01sqhhHhkZvaIpKFW4PPuizQmahl6lA0lZOrWu30JXnkzNC2MY1sPfuJL71O6spV42x4MqgzKtQBNIJjBfY3Eb0j7sXQuW-127QqumVKdX11C2Jg",
    ),
];
