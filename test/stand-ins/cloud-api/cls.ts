// CLS API 2020-10-16: the index of a topic, and SearchLog over the lines of a topic. Of the query language it knows phrases, `key:"value"`, `key:>=N`,
// AND, OR, NOT and parentheses; anything else is a syntax error.
import { type Action, page } from './action.ts';
import { ApiError } from './api-error.ts';
import type { LogLine } from './state.ts';

type Test = (line: LogLine) => boolean;

export const clsActions: Readonly<Record<string, Action>> = {
  DescribeTopics: {
    takes: { Offset: 'number', Limit: 'number', Filters: 'array' },
    answer: (scene) => {
      const names = [...scene.state.logTopics.keys()];
      return {
        TotalCount: names.length,
        Topics: page(names, scene, 20, 100).map((name) => ({
          LogsetId: 'log-set',
          TopicId: name,
          TopicName: `name of ${name}`,
        })),
      };
    },
  },
  DescribeIndex: {
    takes: { TopicId: 'string!' },
    answer: ({ request, state }) => {
      if (!state.logTopics.has(request['TopicId'])) {
        throw new ApiError('ResourceNotFound.TopicNotExist', 'No such topic.');
      }
      return { TopicId: request['TopicId'], ...state.logIndexes.get(request['TopicId']) };
    },
  },
  SearchLog: {
    takes: {
      From: 'number!',
      To: 'number!',
      TopicId: 'string!',
      QueryString: 'string',
      QuerySyntax: 'number',
      Sort: 'string',
      Limit: 'number',
      Offset: 'number',
    },
    answer: (scene) => {
      const { request, state } = scene;
      const lines = state.logTopics.get(request['TopicId']);
      if (lines === undefined) throw new ApiError('ResourceNotFound.TopicNotExist', 'No such topic.');
      const test = parseQuery(request['QueryString'] ?? '*');
      const found = lines
        .filter((line) => line.timeMs >= request['From'] && line.timeMs < request['To'] && test(line))
        .sort((a, b) => (request['Sort'] === 'asc' ? a.timeMs - b.timeMs : b.timeMs - a.timeMs));
      const rows = page(found, scene, 100, 1000);
      return {
        Context: '',
        ListOver: Number(request['Offset'] ?? 0) + rows.length >= found.length,
        Analysis: false,
        Results: rows.map((line) => ({
          Time: line.timeMs,
          TopicId: request['TopicId'],
          PkgId: 'loopback',
          PkgLogId: String(lines.indexOf(line)),
          LogJson: JSON.stringify(line.fields),
        })),
      };
    },
  },
};

function parseQuery(text: string): Test {
  const tokens = text.match(/[()]|[\w.]+:"[^"]*"|"[^"]*"|[^\s()]+/g) ?? [];
  let at = 0;
  const fail = () =>
    new ApiError('FailedOperation.SyntaxError', `Syntax error near ${tokens[at] ?? 'the end'}.`);

  function any(): Test {
    const tests = [all()];
    while (tokens[at] === 'OR') {
      at++;
      tests.push(all());
    }
    return (line) => tests.some((test) => test(line));
  }
  function all(): Test {
    const tests = [one()];
    while (tokens[at] === 'AND') {
      at++;
      tests.push(one());
    }
    return (line) => tests.every((test) => test(line));
  }
  function one(): Test {
    const token = tokens[at++];
    if (token === 'NOT') {
      const test = one();
      return (line) => !test(line);
    }
    if (token === '(') {
      const test = any();
      if (tokens[at++] !== ')') throw fail();
      return test;
    }
    if (token === '*') return () => true;
    const compared = /^([\w.]+):>=(\d+)$/.exec(token ?? '');
    if (compared !== null) {
      const [, name, least] = compared as unknown as [string, string, string];
      return ({ fields }) => Number(fields[name] ?? Number.NaN) >= Number(least);
    }
    const match = /^(?:([\w.]+):)?"([^"]*)"$/.exec(token ?? '');
    if (match === null) throw fail();
    const [, key, phrase] = match as unknown as [string, string | undefined, string];
    return key === undefined
      ? ({ fields }) => Object.values(fields).some((value) => value.includes(phrase))
      : ({ fields }) => fields[key] === phrase;
  }

  const test = any();
  if (at < tokens.length) throw fail();
  return test;
}
