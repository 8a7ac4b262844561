// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"slices"
	"strings"
)

// delimit finds out what says where the ids of the template end, in both
// directions, or one signature would be that of several messages under several
// ids. An id ends where the template does, or at a literal, which it must then
// not contain. It is an error if nothing but another value that varies is there.
//
// A timestamp needs no literal beside it, even next to digits, as in
// {timestamp}{id}: a number of seconds or milliseconds with a digit more, or less,
// is a time many years away, far beyond any tolerance, and a time of RFC 3339 ends
// where it ends. It is no end for an id either, unless it is at one itself: there
// may be times in a body.
func (t template) delimit() error {
	for i := range t {
		if t[i].kind != partID {
			continue
		}
		backwards := slices.Clone(t[:i])
		slices.Reverse(backwards)
		var err error
		if t[i].before, err = backwards.end(); err != nil {
			return err
		}
		if t[i].after, err = t[i+1:].end(); err != nil {
			return err
		}
	}
	return nil
}

// end returns the literal that ends an id which t follows, or nothing if the id
// needs none.
func (t template) end() (literal string, err error) {
	varies := func(p part) bool { return p.kind != partLiteral && p.kind != partTimestamp }
	if !slices.ContainsFunc(t, varies) {
		return "", nil
	}
	next := t[slices.IndexFunc(t, func(p part) bool { return p.kind != partTimestamp })]
	if next.kind != partLiteral {
		return "", fmt.Errorf("{id} and {%s} have no text between them, so that a captured signature would fit other ids: "+
			"put in the text that the sender signs there; if it signs none, leave id out, write the placeholder of its header field for {id}, "+
			"and name the id with message_id, with dedupe on id content", next.name())
	}
	return next.text, nil
}

// delimited reports whether neither literal is found earlier than where the id
// ends: in it, or partly in it and partly in the literal.
func (p part) delimited(id string) bool {
	return (p.before == "" || strings.LastIndex(p.before+id, p.before) == 0) &&
		(p.after == "" || strings.Index(id+p.after, p.after) == len(id))
}

// name is what stands between the braces of a placeholder.
func (p part) name() string {
	switch p.kind {
	case partBody:
		return "body"
	case partID:
		return "id"
	case partTimestamp:
		return "timestamp"
	case partURL:
		return "url"
	case partHeader:
		return headerPlaceholder + p.text
	default:
		return p.text
	}
}
