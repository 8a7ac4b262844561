// SPDX-License-Identifier: Apache-2.0

package verify_test

// comparisons are those of two texts that end at the first difference, each as the
// package, the function and the text, grouped by what they are of.
var comparisons = []struct {
	of  string
	are []string
}{
	{"names of header fields, members, parameters and keys, of which the configuration and the documentation of the sender are open", []string{
		`caddymodule.hasPrefix: strings.HasPrefix(name, p)`,
		`caddymodule.looksSecret: strings.Contains(name, word)`,
		`caddymodule.parseFields: http.CanonicalHeaderKey(id.Header) == name`,
		`caddymodule.redacted: strings.EqualFold(s, name)`,
		`caddymodule.warnOfLogged: slices.Contains(redactedByCaddy, name)`,
		`verify.covers: covered == name`,
		`verify.covers: header == s.id.header`,
		`verify.covers: header == s.timestamp.header`,
		`verify.covers: strings.HasPrefix(name, covered + ".")`,
		`verify.credentials: strings.EqualFold(name, scheme)`,
		`verify.get: string(m[i].name) == name`,
		`verify.lookupName: string(plainJSON(key)) == name`,
		`verify.member: key != name`,
		`verify.member: strings.EqualFold(key, name)`,
		`verify.membersOnce: bytes.EqualFold(name, room.members[i].name)`,
		`verify.parseTemplate: p.text == idHeader`,
		`verify.parseTemplate: p.text == timestampHeader`,
		`verify.setSignature: slices.Contains(s.headers, canonical)`,
		`verify.singleQuery: unescaped == name`,
		`verify.value: k == key`,
	}},
	{"the prefix, the key and the version that stand before a signature", []string{
		`verify.checkKey: strings.Contains(key, f.split)`,
		`verify.newSignatureFormat: f.prefix != strings.TrimLeft(f.prefix, " \t")`,
		`verify.newSignatureFormat: strings.Contains(f.prefix, f.split)`,
		`verify.newTimestamp: t.key == format.key`,
		`verify.pick: key == f.key`,
		`verify.pick: strings.CutPrefix(piece, f.prefix)`,
		`verify.readHeader: version != fmt.Sprintf("v%d", v.version)`,
	}},
	{"the configuration with itself, or with the names of what there is", []string{
		`caddymodule.checkScheme: slices.Contains(known, name)`,
		`caddymodule.differences: bytes.Equal(value, other[name])`,
		`caddymodule.move: to == r.endpoint`,
		`caddymodule.option: value == ofDefault`,
		`caddymodule.orDefault: *v == zero`,
		`caddymodule.provision: slices.Contains(otherAttributes, i.Attribute)`,
		`caddymodule.quoteToken: strings.Contains(word, marker)`,
		`caddymodule.realPath: parent == path`,
		`caddymodule.unmarshalDedupe: slices.Contains(h.Dedupe.On, word)`,
		`caddymodule.unmarshalQueue: slices.Contains(known, engine)`,
		`caddymodule.unmarshalSecret: s.Encoding != args[1]`,
		`caddymodule.without: word != ofDefault`,
		`senders.All: cmp.Compare(a.Name, b.Name)`,
		`senders.Find: s.Name == name`,
		`senders.Nearest: a.name == b.name`,
		`senders.Nearest: cmp.Compare(a.name, b.name)`,
		`senders.distance: strings.Contains(long, short)`,
		`senders.distance: strings.HasPrefix(long, short)`,
		`senders.titled: slices.Contains(words, word)`,
		`verify.NewJWT: slices.Contains(registeredClaims, config.BodyClaim)`,
	}},
	{"a secret with the form of its kind, while the configuration is loaded", []string{
		`senders.check: strings.HasPrefix(secret, f.Prefix)`,
		`senders.check: strings.HasPrefix(secret, other)`,
		`verify.checkText: switch strings.TrimSpace(secret) case secret`,
	}},
	{"a request with itself, all of which its sender wrote", []string{
		`caddymodule.compare: bytes.HasPrefix(b.stored[b.read:], next)`,
		`caddymodule.newDelivery: clientIP(r) != stored.ClientIP`,
		`caddymodule.newDelivery: stored.URI != stored.OriginalURI`,
		`caddymodule.precheck: r.RequestURI != orig.uri`,
		`senders.number: text == string(b.members[name])`,
		`verify.delimited: strings.Index(id + p.after, p.after)`,
		`verify.delimited: strings.LastIndex(p.before + id, p.before)`,
		`verify.sortedForm: slices.Compare(a[:], b[:])`,
		`verify.twilioURLs: escaped != query`,
		`verify.twilioURLs: plain != query`,
	}},
	{"the token of a request with the token of the same request that was checked before its body came", []string{
		`verify.check: c.text == text`,
	}},
	{"the body with its hash, which everyone can compute and the signature covers", []string{
		`verify.coveredForm: sha256.Sum256(r.Body) != [sha256.Size]byte(sum)`,
	}},
	{"the algorithm and the claims of a token, of which only an authentic one has any that are compared", []string{
		`verify.authenticate: token.algorithm != v.config.Algorithm`,
		`verify.checkClaims: t.issuer != c.Issuer`,
		`verify.checkClaims: t.subject != c.Subject`,
		`verify.isFor: slices.Contains(c.audience, audience)`,
	}},
	{"values of a body with those of a matcher, which selects and admits nobody", []string{
		`caddymodule.MatchWithError: repl.ReplaceAll(v, "") == text`,
	}},
	{"the name of a client with its name in another field of the same request", []string{
		`caddymodule.readLogin: c.name == id`,
	}},
	{"messages of errors", []string{
		`caddymodule.reopen: err.Error() != said`,
	}},
	{"what a command sends with what its operator asked for", []string{
		`caddymodule.carries: bytes.Contains(r.Body, text)`,
		`caddymodule.carries: slices.Contains(values, id)`,
		`caddymodule.sign: slices.Equal(r.Header[name], m.fields[name])`,
	}},
}
