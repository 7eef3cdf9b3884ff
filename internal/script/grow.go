package script

import (
	"reflect"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
	"github.com/dop251/goja/unistring"
)

// parse returns what a text means, with each expression that may make a text of
// two others handed to a last parameter of the outermost function: a loop of those
// doubles the text with each turn, and no interrupt is noticed within one. What is
// spread is handed to it too, with a second argument: a text becomes as many values
// as it has characters.
func parse(file, text string) (p *ast.Program, handing bool, err error) {
	if p, err = goja.Parse(file, text); err != nil {
		return nil, false, err
	}
	w := &watch{seen: map[any]bool{}, spared: map[ast.Expression]bool{}}
	w.walk(reflect.ValueOf(p))
	f := p.Body[0].(*ast.ExpressionStatement).Expression.(*ast.FunctionLiteral)
	f.ParameterList.List = append(f.ParameterList.List, &ast.Binding{Target: &ast.Identifier{Name: grown, Idx: f.ParameterList.Closing}})
	return p, w.handing, nil
}

// grown is a name that no source can say.
const grown = unistring.String("grown text")

// A watch goes through a program, to each node once.
type watch struct {
	seen    map[any]bool
	spared  map[ast.Expression]bool
	handing bool // something
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
		if s, ok := v.Addr().Interface().(*ast.SpreadElement); ok {
			w.walk(reflect.ValueOf(s).Elem().FieldByName("Expression"))
			s.Expression = w.handed(s.Expression, &ast.NumberLiteral{Idx: s.Expression.Idx0(), Literal: "1", Value: int64(1)})
			return
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
		if e.Operator != token.PLUS && short(e) {
			sums = []ast.Expression{e.Left, e.Right}
		}
	case *ast.AssignExpression:
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
