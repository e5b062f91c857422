// Loaded first into every Node.js process of the task `test`: a process that is a test runner is asked to write JUnit too,
// wherever in the project's scripts it was started. Each writes to a file of its own in CODEBUDDY_REPORTS.
'use strict';

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { isMainThread } = require('node:worker_threads');

const NODE_REPORTER = path.join(__dirname, 'node.mjs');
const OPTIONS = ['--require=' + __filename, '--test-reporter=' + NODE_REPORTER];

/** Where in the list of arguments an option can be added: before what is passed on. */
const endOfOptions = (words) => (words.indexOf('--') < 0 ? words.length : words.indexOf('--'));

/** Take an option that has a value out of the arguments, and return its values. */
function take(words, ...names) {
  const values = [];
  for (let at = 0; at < endOfOptions(words); ) {
    const name = names.find((one) => words[at] === one || words[at].startsWith(one + '='));
    if (!name) at += 1;
    else if (words[at] === name) values.push(words.splice(at, 2)[1]);
    else values.push(words.splice(at, 1)[0].slice(name.length + 1));
  }
  return values;
}

function remove(words, ...names) {
  for (let at = endOfOptions(words) - 1; at >= 0; at -= 1) if (names.includes(words[at])) words.splice(at, 1);
}

// What is added to each runner's command line. Of a runner that watches, only one run is wanted.
const RUNNERS = {
  vitest(words, file) {
    if (['bench', 'init', 'list'].includes(words[0])) return [];
    remove(words, '--watch', '-w');
    const own = take(words, '--reporter');
    const wanted = [...(own.length ? own : ['default']), 'junit'].map((name) => '--reporter=' + name);
    return [...wanted, '--outputFile.junit=' + file, '--watch=false'];
  },
  jest(words) {
    remove(words, '--watch', '--watchAll');
    const own = words.some((word) => word.startsWith('--reporters')) ? [] : ['--reporters=default'];
    return [...own, '--reporters=' + path.join(__dirname, 'jest.cjs'), '--watchAll=false', '--watch=false'];
  },
  mocha(words) {
    take(words, '--reporter', '-R');
    remove(words, '--watch', '-w');
    return ['--reporter=' + path.join(__dirname, 'mocha.cjs')];
  },
  playwright(words, file) {
    if (words[0] !== 'test') return [];
    process.env.PLAYWRIGHT_JUNIT_OUTPUT_FILE = file;
    const own = take(words, '--reporter').flatMap((value) => value.split(','));
    return ['--reporter=' + [...new Set([...(own.length ? own : ['list']), 'junit'])].join()];
  },
  ava: () => ['--tap'],
};
RUNNERS['jest-cli'] = RUNNERS['react-scripts'] = RUNNERS.jest;
RUNNERS['@playwright/test'] = RUNNERS.playwright;

/** Find the package whose program this process runs. */
function runnerOf(main) {
  const script = fs.realpathSync(main);
  for (let directory = path.dirname(script); ; directory = path.dirname(directory)) {
    const manifest = path.join(directory, 'package.json');
    if (fs.existsSync(manifest)) {
      const { name, bin } = JSON.parse(fs.readFileSync(manifest, 'utf8'));
      if (name) {
        const programs = typeof bin === 'string' ? [bin] : Object.values(bin ?? {});
        if (name === 'react-scripts') programs.push('scripts/test.js');
        return programs.some((program) => same(path.join(directory, program), script)) ? name : null;
      }
    }
    if (directory === path.dirname(directory)) return null;
  }
}

/** Say whether a program's name, which may lack its ending, is that of a file. */
const same = (program, file) => file === program || file === program + path.extname(file);

/** Start Node's own runner again with our reporter beside its own: each of several needs a destination. */
function runNodeAgain() {
  const words = [...process.execArgv];
  const own = take(words, '--test-reporter');
  const destinations = take(words, '--test-reporter-destination');
  own.forEach((reporter, at) => {
    words.push('--test-reporter=' + reporter, '--test-reporter-destination=' + (destinations[at] ?? 'stdout'));
  });
  words.push('--test-reporter=' + NODE_REPORTER, '--test-reporter-destination=stdout');
  if (own.length) process.env.CODEBUDDY_QUIET = '1';
  const ended = spawnSync(process.execPath, [...words, ...process.argv.slice(1)], { stdio: 'inherit' });
  if (ended.signal) process.kill(process.pid, ended.signal);
  process.exit(ended.status ?? 1);
}

function begin() {
  const options = (process.env.NODE_OPTIONS ?? '').split(' ');
  const others = options.filter((word) => !OPTIONS.includes(word)).join(' ');
  const isNodeRunner = process.execArgv.some((word) => word === '--test' || word.startsWith('--test-reporter'));
  if (isNodeRunner && !process.env.NODE_TEST_CONTEXT && !options.includes(OPTIONS[1])) {
    process.env.NODE_OPTIONS = others;
    runNodeAgain();
  }
  const main = process.argv[1];
  const runner = main && fs.existsSync(main) && runnerOf(main);
  if (!Object.hasOwn(RUNNERS, runner || '')) return;
  const file = path.join(process.env.CODEBUDDY_REPORTS, `${process.pid}-${Date.now()}.xml`);
  const words = process.argv.slice(2);
  const added = RUNNERS[runner](words, file);
  words.splice(endOfOptions(words), 0, ...added);
  process.argv.splice(2, process.argv.length, ...words);
  // What the tests start is theirs.
  process.env.CODEBUDDY_REPORT = file;
  delete process.env.CODEBUDDY_REPORTS;
  process.env.NODE_OPTIONS = others;
}

if (isMainThread && process.env.CODEBUDDY_REPORTS) {
  try {
    begin();
  } catch (error) {
    console.error(`The tests' report was not asked for: ${error.message}`);
  }
}
