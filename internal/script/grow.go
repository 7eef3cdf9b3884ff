package script

import (
	"reflect"
	"strconv"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
	"github.com/dop251/goja/unistring"
)

// parse returns what a text means, with each expression that may make a text of
// two others handed to a last parameter of the outermost function: a loop of those
// doubles the text with each turn, and no interrupt is noticed within one. What is
// spread is handed to it too, with 1 as the second argument: a text becomes as many
// values as it has characters. So is, with 2, each name that is computed of what
// may be a function.
func parse(file, text string) (p *ast.Program, w *watch, err error) {
	if p, err = goja.Parse(file, text); err != nil {
		return nil, nil, err
	}
	w = &watch{seen: map[any]bool{}, spared: map[ast.Expression]bool{}, borrowed: map[string]bool{}}
	w.walk(reflect.ValueOf(p))
	f := p.Body[0].(*ast.ExpressionStatement).Expression.(*ast.FunctionLiteral)
	f.ParameterList.List = append(f.ParameterList.List, &ast.Binding{Target: &ast.Identifier{Name: grown, Idx: f.ParameterList.Closing}})
	return p, w, nil
}

// grown is a name that no source can say.
const grown = unistring.String("grown text")

// A watch goes through a program, to each node once.
type watch struct {
	seen     map[any]bool
	spared   map[ast.Expression]bool
	borrowed map[string]bool // names of functions that are not called where they are said
	handing  bool            // something
}

func (w *watch) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		w.walk(v.Elem())
		if e, ok := v.Interface().(ast.Expression); ok && v.CanSet() && grows(e) && !w.spared[e] {
			v.Set(reflect.ValueOf(w.handed(e)))
		}
	case reflect.Pointer:
		if at := v.Interface(); !v.IsNil() && !w.seen[at] {
			w.seen[at] = true
			w.walk(v.Elem())
		}
	case reflect.Struct:
		w.spare(v.Addr().Interface())
		switch e := v.Addr().Interface().(type) {
		case *ast.SpreadElement:
			w.hand(&e.Expression, 1)
			return
		case *ast.BracketExpression:
			if w.walk(reflect.ValueOf(e).Elem().FieldByName("Left")); !w.spared[e] && computed(e.Member) {
				w.hand(&e.Member, 2)
				return
			}
		case *ast.PropertyKeyed:
			if e.Computed && computed(e.Key) {
				w.walk(reflect.ValueOf(e).Elem().FieldByName("Value"))
				w.hand(&e.Key, 2)
				return
			}
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				w.walk(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.walk(v.Index(i))
		}
	}
}

// spare notes sums that are numbers to what they are for: the text that there may
// be is gone at once.
func (w *watch) spare(node any) {
	var sums []ast.Expression
	switch e := node.(type) {
	case *ast.BinaryExpression:
		if e.Operator == token.PLUS || short(e) {
			w.noFunction(e.Left, e.Right)
		}
		if e.Operator != token.PLUS && short(e) {
			sums = []ast.Expression{e.Left, e.Right}
		}
	case *ast.UnaryExpression:
		w.noFunction(e.Operand)
	case *ast.CallExpression:
		w.spared[bare(e.Callee)] = true
	case *ast.DotExpression:
		if !w.spared[e] {
			w.borrowed[e.Identifier.Name.String()] = true
		}
	case *ast.PropertyShort:
		w.borrowed[e.Name.Name.String()] = true
	case *ast.PropertyKeyed:
		if s, ok := e.Key.(*ast.StringLiteral); ok {
			w.borrowed[s.Value.String()] = true
		}
	case *ast.AssignExpression:
		w.noFunction(e.Left)
		if e.Operator != token.ASSIGN && e.Operator != token.PLUS {
			sums = []ast.Expression{e.Right}
		}
	case *ast.BracketExpression:
		sums = []ast.Expression{e.Member}
	}
	for len(sums) > 0 {
		e, ok := sums[0].(*ast.BinaryExpression)
		if sums = sums[1:]; ok && e.Operator == token.PLUS {
			w.spared[e] = true
			sums = append(sums, e.Left, e.Right)
		}
	}
}

// noFunction notes that what is read by a computed name there is no function that
// is then called.
func (w *watch) noFunction(of ...ast.Expression) {
	for _, e := range of {
		if b, ok := e.(*ast.BracketExpression); ok {
			w.spared[b] = true
		}
	}
}

// bare returns an expression without the marks of an optional one, where it is the
// name of what is called.
func bare(e ast.Expression) ast.Expression {
	for {
		switch x := e.(type) {
		case *ast.Optional:
			e = x.Expression
		case *ast.OptionalChain:
			e = x.Expression
		case *ast.DotExpression:
			return x
		default:
			return nil
		}
	}
}

// computed reports whether a name may be another than the source says.
func computed(e ast.Expression) bool {
	_, text := e.(*ast.StringLiteral)
	return !text && !short(e)
}

// hand replaces an expression by a call of the function that is named grown.
func (w *watch) hand(at *ast.Expression, what int64) {
	w.walk(reflect.ValueOf(at).Elem())
	e := *at
	*at = w.handed(e, &ast.NumberLiteral{Idx: e.Idx0(), Literal: strconv.FormatInt(what, 10), Value: what})
}

// handed returns a call of the function that is named grown with an expression.
func (w *watch) handed(e ast.Expression, more ...ast.Expression) ast.Expression {
	call := &ast.CallExpression{
		Callee: &ast.Identifier{Name: grown, Idx: e.Idx0()}, LeftParenthesis: e.Idx0(), ArgumentList: append([]ast.Expression{e}, more...), RightParenthesis: e.Idx1(),
	}
	w.seen[call], w.handing = true, true
	return call
}

// grows reports whether an expression may make a text as long as two others that
// may be long. One that adds what is short takes as many turns as the text is long.
func grows(e ast.Expression) bool {
	switch e := e.(type) {
	case *ast.BinaryExpression:
		return e.Operator == token.PLUS && !short(e.Left) && !short(e.Right)
	case *ast.AssignExpression:
		return e.Operator == token.PLUS && !short(e.Right)
	case *ast.TemplateLiteral:
		return e.Tag == nil && len(e.Expressions) > 1
	}
	return false
}

// short reports whether an expression is never a long text: a constant, a number,
// or a sum of those. So functions that compute, as hashes do, pay nothing.
func short(e ast.Expression) bool {
	switch e := e.(type) {
	case *ast.StringLiteral, *ast.NumberLiteral, *ast.UnaryExpression:
		return true
	case *ast.BinaryExpression:
		switch e.Operator {
		case token.PLUS:
			return short(e.Left) && short(e.Right)
		case token.LOGICAL_AND, token.LOGICAL_OR, token.COALESCE:
			return false
		}
		return true
	}
	return false
}
