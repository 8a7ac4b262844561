// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An attacker measures how long a refusal takes, and learns a secret or the right
// signature byte by byte, from a comparison that ends at the first difference
// (CVE-2022-43412 of Jenkins, and others). So of two texts of which neither is
// written in the program, none are compared like that but those of the list, which
// says why each tells nothing. Others take crypto/hmac or crypto/subtle.
func TestAttackerMeasuresComparisons(t *testing.T) {
	t.Parallel()
	listed := make(map[string]bool)
	for _, c := range comparisons {
		for _, text := range c.are {
			listed[text] = true
		}
	}
	exports := exportData(t, importsOf(t, "../verify", "../verify/senders", "../caddymodule")...)
	found := make(map[string]bool)
	for _, directory := range []string{".", "senders", "../caddymodule"} {
		for _, c := range comparisonsIn(t, directory, nil, exports) {
			found[c] = true
		}
	}
	for _, c := range slices.Sorted(maps.Keys(found)) {
		if !listed[c] {
			t.Errorf("%s ends at the first difference: compare what is secret with crypto/subtle, or say why this is not, in the list", c)
		}
	}
	for c := range listed {
		if !found[c] {
			t.Errorf("%s is not there any more", c)
		}
	}
}

// What looks for such comparisons finds each way to write one.
func TestAttackerMeasuresComparisonsHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	const source = `package mutant
import ("bytes"; "crypto/hmac"; "crypto/subtle"; "slices"; "strings")
func compare(mac, signature []byte, token, secret string, sum, other [32]byte) []bool {
	switch token { case secret: return nil }
	return []bool{
		%s,
		hmac.Equal(mac, signature), subtle.ConstantTimeCompare(mac, signature) == 1,
		token == "", len(mac) == len(signature), bytes.Equal(mac, []byte("x")), slices.Equal(mac, nil),
		strings.HasPrefix(token, "Bearer "),
	}
}`
	all := []string{
		"token == secret", "string(mac) != string(signature)", "sum == other", "token < secret", "bytes.Equal(mac, signature)",
		"bytes.Compare(sum[:], other[:]) == 0", "bytes.HasPrefix(mac, signature)", "slices.Equal(mac, signature)",
		"slices.Equal[[]byte](mac, signature)", "strings.EqualFold(token, secret)", "strings.Compare(token, secret) == 0",
		"strings.HasPrefix(secret, token)", "strings.Contains(token, secret)", "slices.Contains([]string{secret}[:], token)",
	}
	code := []byte(strings.Replace(source, "%s", strings.Join(all, ",\n"), 1))
	found := comparisonsIn(t, "mutant", code, exportData(t, "bytes", "crypto/hmac", "crypto/subtle", "slices", "strings"))
	if len(found) != len(all)+1 { // with the switch
		t.Errorf("of %d comparisons these are found: %q", len(all)+1, found)
	}
}

// comparisonsIn returns the comparisons in the Go files of a directory, tests
// excluded, or in the source given instead, each as the function that it is in and
// its text.
func comparisonsIn(t *testing.T, directory string, source []byte, exports map[string]string) (found []string) {
	t.Helper()
	fset := token.NewFileSet()
	files := parseFiles(t, fset, directory, source)
	info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object)}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	if _, err := config.Check(directory, fset, files, info); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, declared := range file.Decls {
			name := "a variable"
			if f, ok := declared.(*ast.FuncDecl); ok {
				name = f.Name.Name
			}
			ast.Inspect(declared, func(n ast.Node) bool {
				if c := comparison(info, n); c != "" {
					found = append(found, file.Name.Name+"."+name+": "+c)
				}
				return true
			})
		}
	}
	return found
}

func parseFiles(t *testing.T, fset *token.FileSet, directory string, source []byte) (files []*ast.File) {
	t.Helper()
	if source != nil {
		file, err := parser.ParseFile(fset, "given.go", source, 0)
		if err != nil {
			t.Fatal(err)
		}
		return []*ast.File{file}
	}
	names, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// comparison returns the text of n if it compares two texts, neither of which is a
// constant, and stops at the first difference.
func comparison(info *types.Info, n ast.Node) string {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		switch n.Op {
		case token.EQL, token.NEQ, token.LSS, token.GTR, token.LEQ, token.GEQ:
			if isText(info, n.X) && isText(info, n.Y) {
				return types.ExprString(n)
			}
		}
	case *ast.SwitchStmt:
		if n.Tag == nil || !isText(info, n.Tag) {
			return ""
		}
		for _, clause := range n.Body.List {
			for _, value := range clause.(*ast.CaseClause).List {
				if isText(info, value) {
					return "switch " + types.ExprString(n.Tag) + " case " + types.ExprString(value)
				}
			}
		}
	case *ast.CallExpr:
		if !stopsEarly(info, n) {
			return ""
		}
		texts := 0
		for _, argument := range n.Args {
			if isText(info, argument) || isSlice(info, argument) {
				texts++
			}
		}
		if texts > 1 {
			return types.ExprString(n)
		}
	}
	return ""
}

// stopsEarly reports whether a call is one of a function that compares.
func stopsEarly(info *types.Info, call *ast.CallExpr) bool {
	fun := call.Fun
	if generic, ok := fun.(*ast.IndexExpr); ok {
		fun = generic.X
	}
	selector, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	used := info.Uses[selector.Sel]
	if used == nil || used.Pkg() == nil {
		return false
	}
	switch used.Pkg().Path() {
	case "bytes", "strings", "slices", "maps", "cmp", "reflect":
	default:
		return false
	}
	for _, name := range []string{
		"Equal", "EqualFold", "EqualFunc", "DeepEqual", "Compare", "CompareFunc", "HasPrefix", "HasSuffix",
		"Contains", "Index", "LastIndex", "Count", "CutPrefix", "CutSuffix", "TrimPrefix", "TrimSuffix", "BinarySearch",
	} {
		if used.Name() == name {
			return true
		}
	}
	return false
}

// isText reports whether an expression is a text, or bytes, and no constant.
func isText(info *types.Info, e ast.Expr) bool {
	of := info.Types[e]
	if of.Type == nil || of.Value != nil || of.IsNil() || isInProgram(info, e) {
		return false
	}
	switch of := of.Type.Underlying().(type) {
	case *types.Basic:
		return of.Info()&types.IsString != 0
	case *types.Array:
		return isByte(of.Elem())
	case *types.Slice:
		return isByte(of.Elem())
	case *types.Interface:
		_, generic := info.TypeOf(e).(*types.TypeParam)
		return generic // it may be one
	}
	return false
}

// isInProgram reports whether an expression is bytes that are written out.
func isInProgram(info *types.Info, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return true
	case *ast.CallExpr: // []byte("constant")
		return len(e.Args) == 1 && info.Types[e.Fun].IsType() && info.Types[e.Args[0]].Value != nil
	}
	return false
}

// isSlice reports whether an expression is a slice of texts.
func isSlice(info *types.Info, e ast.Expr) bool {
	if isInProgram(info, e) {
		return false
	}
	of, ok := info.TypeOf(e).Underlying().(*types.Slice)
	if !ok {
		return false
	}
	element, ok := of.Elem().Underlying().(*types.Basic)
	return ok && element.Info()&types.IsString != 0
}

func isByte(of types.Type) bool {
	basic, ok := of.Underlying().(*types.Basic)
	return ok && basic.Kind() == types.Byte
}

// importsOf returns what packages import, which are built when they are tested. They
// themselves need not be.
func importsOf(t *testing.T, directories ...string) (paths []string) {
	t.Helper()
	for line := range strings.Lines(goList(t, append([]string{"-f", "{{range .Imports}}{{println .}}{{end}}"}, directories...)...)) {
		if path := strings.TrimSpace(line); path != "" {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// exportData returns the files that say what packages, and all they are built from,
// declare.
func exportData(t *testing.T, packages ...string) map[string]string {
	t.Helper()
	exports := make(map[string]string)
	for line := range strings.Lines(goList(t, append([]string{"-deps", "-export", "-f", "{{.ImportPath}}\t{{.Export}}"}, packages...)...)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	return exports
}

func goList(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs the go command")
	}
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	return string(out)
}
