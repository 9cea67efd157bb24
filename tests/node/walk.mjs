// One client of node-postgres: for each line with a text it writes and reads with named (prepared) statements,
// and prints what it has read. Its row, its SQL and its connection are in the environment.
import {createRequire} from "node:module";
import {createInterface} from "node:readline";

const {Client} = createRequire(process.cwd() + "/")("pg");
const {ROW, WRITE, READ, HOST, PORT, DATABASE, PASSWORD, SSL} = process.env;
const ssl = SSL ? {rejectUnauthorized: false} : false;
const client = new Client({host: HOST, port: PORT, database: DATABASE, user: "ada", password: PASSWORD, ssl});
await client.connect();
for await (const line of createInterface({input: process.stdin})) {
  const values = JSON.parse(line);
  try {
    const written = await client.query({name: "write", text: WRITE, values: [...values, ROW]});
    const read = await client.query({name: "read", text: READ, values: [ROW], rowMode: "array"});
    console.log(JSON.stringify({count: written.rowCount, row: read.rows[0]}));
  } catch (error) {
    console.log(JSON.stringify({error: `${error.code} ${error.message}`}));
  }
}
await client.end();
